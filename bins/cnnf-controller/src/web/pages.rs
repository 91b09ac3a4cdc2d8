//! The page's files, as `make ui` builds them and this program has them in itself: whatever it sees of the file system when it runs, which in
//! a lab is not the folder they came from.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use rust_embed::{Embed, EmbeddedFile};

/// What was built, compressed forms (`x.js.br`, `x.js.gz`) beside the files.
#[derive(Embed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Dist;

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>cnnf</title>\n\
    <h1>The page was not built</h1>\n<p>This controller was built without its page: run <code>make ui</code> and build again. \
    Everything else works; <code>cnnfctl</code> does all that the page does.</p></html>\n";

/// What is fetched under a name that changes with its content.
const HASHED: &str = "assets/";

/// A file, or the page itself for a path that looks like one of its views.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "only GET and HEAD\n").into_response();
    }
    let name = path.trim_start_matches('/');
    let is_file = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let found = if is_file { find(name).map(|file| (name, file)) } else { None };
    let index = || find("index.html").map(|file| ("index.html", file));
    match found.or_else(|| if is_file { None } else { index() }) {
        Some((name, file)) => serve(name, file, headers),
        None if is_file => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
        None => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
            (StatusCode::SERVICE_UNAVAILABLE, kind, NOT_BUILT).into_response()
        }
    }
}

/// A file that is meant to be seen: no hidden one, and nothing outside of the folder.
fn find(name: &str) -> Option<EmbeddedFile> {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    if name.split('/').all(plain) { Dist::get(name) } else { None }
}

fn serve(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response<Body> {
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed = [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(encoding, end)| {
        accepts(accepted, encoding).then(|| find(&format!("{name}.{end}")))?.map(|packed| (encoding, packed))
    });
    let etag = format!("\"{hash}{}\"", packed.as_ref().map(|(encoding, _)| format!("-{encoding}")).unwrap_or_default());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let unchanged = known.flat_map(|line| line.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag);
    let mut answer = if unchanged {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let data = packed.as_ref().map_or(file.data, |(_, packed)| packed.data.clone());
        let mut kind = file.metadata.mimetype().to_owned();
        if kind.starts_with("text/") || matches!(&*kind, "application/javascript" | "application/json") {
            kind.push_str("; charset=utf-8");
        }
        let mut answer = ([(header::CONTENT_TYPE, kind)], data.into_owned()).into_response();
        if let Some((encoding, _)) = packed {
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        answer
    };
    let caching = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    answer
}

/// Whether `Accept-Encoding` has this one, and not with `q=0`.
fn accepts(line: &str, encoding: &str) -> bool {
    line.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some(encoding) && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_one_of_those_asked_for() {
        assert!(accepts("gzip, deflate, br", "br") && accepts("gzip;q=0.5,br", "gzip"));
        assert!(!accepts("gzip;q=0, br", "gzip") && !accepts("", "br") && !accepts("brotli", "br"));
    }

    #[test]
    fn nothing_outside_of_the_folder_is_found() {
        for name in ["../Cargo.toml", "a/../../Cargo.toml", "/etc/passwd", ".git", "a//b", "..\\x", ""] {
            assert!(find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn files_that_are_not_there_are_not_the_page() {
        let get = |path| answer(&Method::GET, path, &HeaderMap::new()).status();
        assert_eq!(get("/assets/none-1234.js"), StatusCode::NOT_FOUND);
        assert_eq!(answer(&Method::POST, "/", &HeaderMap::new()).status(), StatusCode::METHOD_NOT_ALLOWED);
        let page = get("/");
        assert_eq!(get("/rules/draft"), page, "a view is the page");
        assert!(matches!(page, StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE));
    }
}
