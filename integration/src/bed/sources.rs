//! The Debian mirror this machine itself uses.

use std::fs;
use std::path::Path;

/// The first http(s) source of `etc`/apt that offers `main` of a Debian release, security archives left out.
pub(super) fn mirror(etc: &Path) -> Option<String> {
    let mut files = vec![etc.join("apt/sources.list")];
    let mut more: Vec<_> = fs::read_dir(etc.join("apt/sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    more.sort();
    files.extend(more);
    files.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        match path.extension()?.to_str()? {
            "sources" => from_stanzas(&text),
            "list" => from_lines(&text),
            _ => None,
        }
    })
}

fn is_debian(uri: &str, suite: &str, components: &str) -> bool {
    let releases = ["bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable"];
    uri.starts_with("http") && releases.contains(&suite) && components.split_whitespace().any(|word| word == "main")
}

// sources.list(5), "ONE-LINE-STYLE FORMAT": deb [ options ] uri suite component…
fn from_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        is_debian(uri, suite, &words.collect::<Vec<_>>().join(" ")).then(|| uri.to_owned())
    })
}

// sources.list(5), "DEB822-STYLE FORMAT": stanzas of `Key: values`, a line that begins with a space continues a value.
fn from_stanzas(text: &str) -> Option<String> {
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    uncommented.split(|line| line.trim().is_empty()).find_map(|stanza| {
        let field = |wanted: &str| {
            let start = stanza
                .iter()
                .position(|line| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(wanted)))?;
            let mut value = stanza[start].split_once(':')?.1.to_owned();
            for line in stanza[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t'])) {
                value.push_str(line);
            }
            Some(value)
        };
        if field("Enabled").is_some_and(|value| value.trim().eq_ignore_ascii_case("no")) {
            return None;
        }
        let (uris, suites, components) = (field("URIs")?, field("Suites")?, field("Components")?);
        let mut uris = uris.split_whitespace();
        let uri = uris.find(|uri| suites.split_whitespace().any(|suite| is_debian(uri, suite, &components)))?;
        Some(uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_are_read() {
        let stanzas = "Types: deb\nURIs: http://other.example/x\nSuites: nodistro\nComponents: main\n\n\
                       Types: deb\n# a remark\nURIs: http://deb.example/debian\nSuites: bookworm bookworm-updates\n\
                       Components: main\n";
        assert_eq!(from_stanzas(stanzas).as_deref(), Some("http://deb.example/debian"));
        assert_eq!(from_stanzas(&format!("Enabled: no\n{}", stanzas.split_once("\n\n").unwrap().1)), None);
        let lines = "# deb http://no.example bookworm main\n\
                     deb http://sec.example bookworm-security main\n\
                     deb [arch=amd64 signed-by=/x] http://deb.example/debian trixie main contrib\n";
        assert_eq!(from_lines(lines).as_deref(), Some("http://deb.example/debian"));
        assert_eq!(from_lines("deb http://ports.example jammy main\n"), None);
    }
}
