//! What a host needs to become defended: the defender's packages that this controller came with, and the script that installs them.
//!
//! A new host knows nothing yet that it could check a connection with. So the command line, which an operator copies from here, has the sum of the
//! script, and the script has those of the packages: who sits in between can keep them from a host, and change nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use semver::Version;
use sha2::{Digest as _, Sha256};

/// The path of the script on the web port,
const SCRIPT: &str = "/install.sh";
/// and of the folder with packages.
const PACKAGES: &str = "/packages/";
/// The script; this word in it is replaced by a line for each package, its sum and name.
const TEMPLATE: &str = include_str!("../../../packaging/install.sh");
const PLACEHOLDER: &str = "@PACKAGES@";
/// A package is some 3 MB; what is much larger is none.
const MAX_PACKAGE: u64 = 64 << 20;

/// Packages by name and the script, all in memory: a few megabytes, and so what is sent is what was summed.
#[derive(Default)]
pub(crate) struct Downloads {
    /// Where hosts reach the web port, HOST:PORT.
    web: String,
    packages: BTreeMap<String, Bytes>,
    script: Option<Script>,
}

struct Script {
    text: Bytes,
    /// SHA-256 in hexadecimal.
    sum: String,
}

impl Downloads {
    /// Of the defender's packages in `folder`; without any if it is not there. `web` is where hosts reach the web port, HOST:PORT.
    ///
    /// # Errors
    /// The folder or a package in it cannot be read.
    pub(crate) fn of(folder: &Path, web: String) -> io::Result<Self> {
        let mut packages = BTreeMap::new();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().filter(|name| is_package(name)).map(str::to_owned) else {
                continue;
            };
            let size = std::fs::metadata(entry.path())?.len();
            if size > MAX_PACKAGE {
                return Err(io::Error::other(format!("{name} is too large for a package: {size} bytes")));
            }
            packages.insert(name, Bytes::from(std::fs::read(entry.path())?));
        }
        let script = (!packages.is_empty()).then(|| script(&packages));
        Ok(Self { web, packages, script })
    }

    /// The command that installs or upgrades on a host, as root, with more arguments of the script at its end; empty without packages.
    pub(crate) fn command(&self, arguments: &str) -> String {
        let (Some(Script { sum, .. }), web) = (&self.script, &self.web) else { return String::new() };
        // In a folder that nobody else can write in between the check and the run.
        format!(
            "(cd \"$(mktemp -d)\" && curl -fsSkO https://{web}{SCRIPT} && echo '{sum}  install.sh' | sha256sum -c && \
             sh install.sh --from https://{web}{arguments})"
        )
    }

    /// The answer to these paths; `None` for others.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let package = path.strip_prefix(PACKAGES);
        if path != SCRIPT && package.is_none() {
            return None;
        }
        let found = match package {
            Some(name) => self.packages.get(name).map(|data| (data, "application/octet-stream")),
            None => self.script.as_ref().map(|script| (&script.text, "text/x-shellscript; charset=utf-8")),
        };
        Some(match found {
            _ if !matches!(*method, Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], "only GET and HEAD\n").into_response()
            }
            Some((data, kind)) => {
                let mut answer = data.clone().into_response();
                answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                answer
            }
            None => (
                StatusCode::NOT_FOUND,
                "this controller has no such package: install its own package, which has them\n",
            )
                .into_response(),
        })
    }
}

/// Whether a file of this name is a defender's package; such a name needs no quotes anywhere.
fn is_package(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    name.starts_with("cnnf-defender") && (name.ends_with(".deb") || name.ends_with(".rpm")) && name.bytes().all(plain)
}

fn script(packages: &BTreeMap<String, Bytes>) -> Script {
    let lines: Vec<String> = packages.iter().map(|(name, data)| format!("{}  {name}", sum(data))).collect();
    let text = TEMPLATE.replace(PLACEHOLDER, &lines.join("\n"));
    Script { sum: sum(text.as_bytes()), text: Bytes::from(text) }
}

fn sum(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a defender of this version is older than this controller, or of no version that can be understood. One that was never connected
/// has none yet.
pub(crate) fn is_outdated(version: &str) -> bool {
    let own = Version::parse(env!("CARGO_PKG_VERSION")).expect("cargo checks it");
    !version.is_empty() && Version::parse(version).map_or(true, |version| version < own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_defender_is_outdated_and_a_newer_one_is_not() {
        for version in ["0.0.9", "0.1.0-rc.1", "", "1", "\u{1b}[2J"] {
            assert_eq!(is_outdated(version), !version.is_empty(), "{version:?}");
        }
        for version in [env!("CARGO_PKG_VERSION"), "0.10.0", "99.0.0"] {
            assert!(!is_outdated(version), "{version}");
        }
    }

    #[test]
    fn only_the_defenders_packages_are_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let deb = "cnnf-defender_0.1.0-1_amd64.deb";
        for name in [deb, "cnnf-defender-0.1.0-1.x86_64.rpm", "cnnf-defender a.deb", "cnnf-defender.txt", "other.deb"] {
            std::fs::write(folder.path().join(name), name).expect("written");
        }
        let downloads = Downloads::of(folder.path(), "c:8443".to_owned()).expect("readable");
        let status = |path: &str| downloads.answer(&Method::GET, path).map(|answer| answer.status().as_u16());
        assert_eq!(status(&format!("/packages/{deb}")), Some(200));
        assert_eq!(status("/install.sh"), Some(200));
        for path in [
            "/packages/other.deb",
            "/packages/",
            "/packages/../x",
            "/packages/cnnf-defender.txt",
            "/packages/cnnf-defender a.deb",
        ] {
            assert_eq!(status(path), Some(404), "{path}");
        }
        assert_eq!(status("/radar"), None);
        let posted = downloads.answer(&Method::POST, "/install.sh").expect("an answer");
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        let script = downloads.script.as_ref().expect("a script");
        let text = std::str::from_utf8(&script.text).expect("text");
        assert!(text.contains(&format!("{}  {deb}\n", sum(deb.as_bytes()))) && !text.contains(PLACEHOLDER), "{text}");
        assert!(downloads.command(" --token t").contains(&script.sum));
    }

    #[test]
    fn without_packages_there_is_no_command() {
        let downloads = Downloads::of(Path::new("/nowhere"), "c:8443".to_owned()).expect("none");
        assert_eq!(downloads.command(" --token t"), "");
        let answer = downloads.answer(&Method::GET, "/install.sh").expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}
