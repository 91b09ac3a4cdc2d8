//! The web port as a browser meets it. curl brings the TLS.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use prost::Message;
use tonic::Code;

use crate::place::Place;

/// An answer: its status, headers by name in lower case, and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The last message of an answer in gRPC-web, and its status.
    pub(crate) fn result(&self) -> (&[u8], Code) {
        // A refusal may come as headers alone.
        let (message, trailers) = frames(&self.body);
        let trailer = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
        let status = self.headers.get("grpc-status").map(String::as_str).or(trailer).expect("a status");
        (message, Code::from_bytes(status.trim().as_bytes()))
    }
}

/// Asks over TLS with curl's arguments.
pub(crate) fn ask(place: &Place, path: &str, arguments: &[&str], body: &[u8]) -> Answer {
    let ca = place.path().join("pki/ca.crt").display().to_string();
    let url = format!("https://{}{path}", place.web);
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "10", "--cacert", &ca, "--path-as-is"]).args(arguments).arg(&url);
    if !body.is_empty() {
        command.args(["--data-binary", "@-"]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), body).expect("sent");
    let output = child.wait_with_output().expect("curl ends");
    assert!(output.status.success(), "curl {url}: {}", output.status);
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(output.stdout[..end].to_vec()).expect("text");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.expect("a status"),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: output.stdout[end + 4..].to_vec(),
    }
}

/// A browser's page: calls by gRPC-web, with a cookie once it has one.
pub(crate) struct Page<'a> {
    pub(crate) place: &'a Place,
    /// `NAME=VALUE`.
    pub(crate) cookie: Option<String>,
    /// Headers that it sends beside those of every page.
    pub(crate) headers: Vec<String>,
}

impl<'a> Page<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        let headers = vec![format!("origin: https://{}", place.web), "sec-fetch-site: same-origin".to_owned()];
        Self { place, cookie: None, headers }
    }

    /// Calls; takes the cookie that the answer sets.
    pub(crate) fn call<A: Message + Default>(&mut self, path: &str, request: &impl Message) -> Result<A, Code> {
        self.call_as("application/grpc-web+proto", path, request)
    }

    pub(crate) fn call_as<A: Message + Default>(
        &mut self,
        kind: &str,
        path: &str,
        request: &impl Message,
    ) -> Result<A, Code> {
        let answer = self.answer(kind, path, request);
        if let Some(line) = answer.headers.get("set-cookie") {
            let (pair, rest) = line.split_once("; ").expect("attributes");
            for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
                assert!(rest.split("; ").any(|one| one == attribute), "{line}");
            }
            assert!(pair.starts_with("__Host-cnnf=") && !rest.contains("Domain"), "{line}");
            self.cookie = Some(pair.to_owned());
        }
        let (message, code) = answer.result();
        if code == Code::Ok { Ok(A::decode(message).expect("a message")) } else { Err(code) }
    }

    /// What is answered; of a stream, once it has ended.
    pub(crate) fn answer(&self, kind: &str, path: &str, request: &impl Message) -> Answer {
        let mut body = vec![0];
        body.extend((request.encoded_len() as u32).to_be_bytes());
        request.encode(&mut body).expect("room");
        let mut arguments = vec!["--http1.1".to_owned(), "-H".to_owned(), format!("content-type: {kind}")];
        for header in &self.headers {
            arguments.extend(["-H".to_owned(), header.clone()]);
        }
        if let Some(cookie) = &self.cookie {
            arguments.extend(["-H".to_owned(), format!("cookie: {cookie}")]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = ask(self.place, &format!("/cnnf.v1.{path}"), &arguments, &body);
        assert_eq!(answer.status, 200, "{path}");
        answer
    }
}

/// The message and the trailers of an answer in gRPC-web.
fn frames(mut body: &[u8]) -> (&[u8], String) {
    let (mut message, mut trailers) = (&[][..], String::new());
    while let [kind, a, b, c, d, rest @ ..] = body {
        let (frame, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        if kind & 0x80 == 0 {
            message = frame;
        } else {
            trailers = String::from_utf8(frame.to_vec()).expect("text").to_ascii_lowercase();
        }
        body = rest;
    }
    (message, trailers)
}

#[test]
fn the_page_is_served_over_tls_with_its_headers() {
    let place = Place::new();
    for http in ["--http1.1", "--http2"] {
        for path in ["/", "/rules/draft?x=1"] {
            let answer = ask(&place, path, &[http], b"");
            assert!(matches!(answer.status, 200 | 503), "{path}: {}", answer.status);
            assert_eq!(answer.headers["content-type"].split(';').next(), Some("text/html"), "{path}");
        }
        let answer = ask(&place, "/none.js", &[http], b"");
        assert_eq!(answer.status, 404);
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        assert_eq!(answer.headers["cross-origin-opener-policy"], "same-origin");
        assert_eq!(ask(&place, "/healthz", &[http], b"").body, b"ok\n");
    }
    assert_eq!(ask(&place, "/../ca.key", &[], b"").status, 404);
    assert_eq!(ask(&place, "/", &["-X", "DELETE"], b"").status, 405);
}

#[test]
fn an_end_of_the_controller_leaves_no_page_hanging() {
    let mut place = Place::new();
    let ca = place.path().join("pki/ca.crt").display().to_string();
    // A connection that is kept open, as browsers do.
    let url = format!("https://{}/healthz", place.web);
    let slow = ["-sS", "--max-time", "20", "--cacert", &ca, "--http2", &url, "--next", "--limit-rate", "1", &url];
    let mut child = Command::new("curl").args(slow).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("curl");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let began = std::time::Instant::now();
    assert_eq!(place.terminate(), Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    child.kill().expect("killed");
    child.wait().expect("reaped");
}
