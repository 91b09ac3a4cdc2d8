//! Signing in by a real identity provider, from the page's link to its session. curl is the browser.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cnnf_rpc::v1;
use serde_json::{Value, json};
use tonic::Code;

use crate::place::Place;
use crate::sessions::signed_in;
use crate::web::Page;

/// The provider's process.
struct Provider {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    issuer: String,
    certificate: PathBuf,
    folder: tempfile::TempDir,
}

impl Provider {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (certificate, private) = (folder.path().join("id.crt"), folder.path().join("id.key"));
        std::fs::write(&certificate, key.cert.pem()).expect("written");
        std::fs::write(&private, key.signing_key.serialize_pem()).expect("written");
        let ui = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../ui");
        assert!(
            ui.join("node_modules/oidc-provider").exists(),
            "the provider comes with the page's tools: run 'make ui'"
        );
        // Where the machine's Node is too old, `make ui` has brought one.
        let own = ui.join(".node/node_modules/.bin/node");
        let mut command = Command::new(if own.exists() { own } else { "node".into() });
        command.arg(ui.join("e2e/lib/oidc-provider.mjs")).arg(&certificate).arg(&private);
        // What it says of itself is advice for those who run it in earnest.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node runs");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut provider =
            Self { input: child.stdin.take(), child, output, issuer: String::new(), certificate, folder };
        provider.issuer = provider.line();
        provider
    }

    fn line(&mut self) -> String {
        self.output
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line == "ready" || line.starts_with("https:"))
            .expect("a line")
    }

    /// Begins anew, with other keys: for a controller, and with users and what it says of them.
    fn knows(&mut self, place: &Place, users: Value) {
        let redirect = format!("https://{}/auth/oidc/callback", place.web);
        let line = json!({"redirect": redirect, "users": users}).to_string();
        writeln!(self.input.as_mut().expect("a pipe"), "{line}").expect("it listens");
        assert_eq!(self.line(), "ready");
    }

    /// A controller that lets its users in, and the provider knows it.
    fn controller(&mut self) -> Place {
        let secret = self.folder.path().join("secret");
        std::fs::write(&secret, "a secret: with / odd & letters%\n").expect("written");
        let config = format!(
            "[oidc]\nissuer = {:?}\nname = \"The lab\"\nclient_id = \"cnnf\"\nclient_secret_file = {secret:?}\nca_file = {:?}\n\
             scopes = [\"profile\", \"email\", \"groups\"]\nadmins = [\"chiefs\"]\noperators = [\"ops\"]\ndomains = [\"example.com\"]\n",
            self.issuer, self.certificate
        );
        let file = self.folder.path().join("controller.toml");
        std::fs::write(&file, config).expect("written");
        Place::with(&["--config", &file.display().to_string()])
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn person(email: &str, groups: &[&str]) -> Value {
    let name = email.split('@').next().unwrap_or_default();
    json!({"preferred_username": name, "email": email, "email_verified": true, "groups": groups})
}

/// A browser: a jar of cookies.
struct Browser<'a> {
    place: &'a Place,
    folder: tempfile::TempDir,
}

/// Where a browser has ended up.
struct Seen {
    status: String,
    url: String,
    /// Of an answer that sends on: where to.
    to: String,
    body: String,
}

impl<'a> Browser<'a> {
    fn new(place: &'a Place, provider: &Provider) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut believed = std::fs::read_to_string(place.path().join("pki/ca.crt")).expect("read");
        believed += &std::fs::read_to_string(&provider.certificate).expect("read");
        std::fs::write(folder.path().join("ca"), believed).expect("written");
        Self { place, folder }
    }

    fn get(&self, url: &str, arguments: &[&str]) -> Seen {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "30", "--cacert", &file("ca"), "-b", &file("jar"), "-c", &file("jar")]);
        command.args(["-o", &file("body"), "-w", "%{http_code} %{url_effective} %{redirect_url}"]).args(arguments);
        let output = command.arg(url).output().expect("curl runs");
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).expect("text");
        let mut parts = told.split(' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let body = std::fs::read_to_string(self.folder.path().join("body")).unwrap_or_default();
        Seen { status: next(), url: next(), to: next(), body }
    }

    /// Signs in at the provider and agrees, where it asks for that, up to where the provider sends the browser back to.
    fn to_callback(&self, name: &str) -> String {
        let mut seen = self.get(&format!("https://{}/auth/oidc/start?to=/rules?q=x", self.place.web), &[]);
        for _ in 0..20 {
            if seen.to.starts_with(&format!("https://{}/auth/oidc/callback?", self.place.web)) {
                return seen.to;
            }
            seen = if seen.to.is_empty() {
                let action = seen.body.split_once("action=\"").and_then(|(_, rest)| rest.split_once('"'));
                let (action, _) = action.unwrap_or_else(|| panic!("{} {}: {}", seen.status, seen.url, seen.body));
                let data = if seen.body.contains("name=\"login\"") {
                    format!("prompt=login&login={name}&password=x")
                } else {
                    "prompt=consent".to_owned()
                };
                self.get(action, &["--data", &data])
            } else {
                self.get(&seen.to, &[])
            };
        }
        panic!("the provider sends the browser round and round");
    }

    fn sign_in(&self, name: &str) -> Seen {
        self.get(&self.to_callback(name), &[])
    }

    /// The page with this browser's session.
    fn page(&self) -> Page<'a> {
        let jar = std::fs::read_to_string(self.folder.path().join("jar")).expect("a jar");
        let session = jar.lines().filter_map(|line| line.split_once("__Host-cnnf\t")).next();
        let mut page = Page::new(self.place);
        page.cookie = session.map(|(_, secret)| format!("__Host-cnnf={secret}"));
        page
    }

    fn session(&self) -> Result<(String, String), Code> {
        let session: v1::Session = self.page().call("SessionService/GetSession", &v1::GetSessionRequest {})?;
        Ok((session.user, session.role))
    }
}

fn refused(seen: &Seen, status: &str, part: &str) {
    assert!(seen.status == status && seen.body.contains(part), "{} {}", seen.status, seen.body);
    assert!(!seen.body.contains("<script"));
}

#[test]
fn a_real_provider_signs_people_in() {
    let mut provider = Provider::new();
    let place = provider.controller();
    let users = json!({
        "ann": person("ann@example.com", &["ops", "staff"]),
        "bob": person("bob@example.com", &["staff"]),
        "eve": person("eve@evil.example", &["chiefs"]),
        "root": {"preferred_username": "admin", "email": "admin@example.com", "email_verified": true, "groups": ["chiefs"]},
    });
    provider.knows(&place, users.clone());
    let mut admin = signed_in(&place, "admin", &place.password);
    let options: v1::SignInOptions =
        admin.call("SessionService/GetSignInOptions", &v1::GetSignInOptionsRequest {}).expect("anybody may ask");
    assert!(options.oidc && options.oidc_name == "The lab");

    let browser = Browser::new(&place, &provider);
    let seen = browser.sign_in("ann");
    assert_eq!((seen.status.as_str(), seen.to), ("303", format!("https://{}/rules?q=x", place.web)));
    let ann = || Ok(("ann".to_owned(), "operator".to_owned()));
    assert_eq!(browser.session(), ann());

    // Who is in no group, of no domain of ours, or would take another's name.
    refused(&Browser::new(&place, &provider).sign_in("bob"), "403", "in no group");
    refused(&Browser::new(&place, &provider).sign_in("eve"), "403", "no e-mail address of a domain");
    let taker = Browser::new(&place, &provider);
    refused(&taker.sign_in("root"), "403", "a user 'admin' already who is not you");
    assert_eq!(taker.session(), Err(Code::Unauthenticated));

    // The answer to one browser is for that one, and for one time.
    let victim = Browser::new(&place, &provider);
    let theirs = browser.to_callback("ann");
    refused(&victim.get(&theirs, &[]), "400", "not begun in this browser");
    victim.get(&format!("https://{}/auth/oidc/start", place.web), &[]);
    refused(&victim.get(&theirs, &[]), "400", "not begun in this browser");
    assert_eq!(victim.session(), Err(Code::Unauthenticated));
    assert_eq!(browser.get(&theirs, &[]).status, "303");
    refused(&browser.get(&theirs, &[]), "400", "not begun in this browser");

    // Whoever says no at the provider, or is said to have.
    let state =
        |url: &str| url.split(['?', '&']).find(|pair| pair.starts_with("state=")).map(str::to_owned).expect("a state");
    let other = Browser::new(&place, &provider);
    let begun = other.get(&format!("https://{}/auth/oidc/start?to=//evil.example", place.web), &[]);
    let no = format!("https://{}/auth/oidc/callback?error=access_denied&error_description=%3Cscript%3E", place.web);
    let from = format!("&iss={}", provider.issuer);
    refused(&other.get(&format!("{no}&{}{from}", state(&begun.to)), &[]), "403", "access_denied &lt;script&gt;");

    // New keys and another group: at once. A user who is disabled stays out.
    let mut changed = users;
    changed["ann"]["groups"] = json!(["chiefs"]);
    provider.knows(&place, changed);
    assert_eq!(Browser::new(&place, &provider).sign_in("ann").status, "303");
    assert_eq!(browser.session(), Ok(("ann".to_owned(), "admin".to_owned())), "a role counts for every session");
    let list: v1::ListUsersResponse = admin.call("UserService/ListUsers", &v1::ListUsersRequest {}).expect("users");
    let issuers: Vec<_> = list.users.iter().map(|user| (user.name.as_str(), user.issuer.as_str())).collect();
    assert_eq!(issuers, [("admin", ""), ("ann", provider.issuer.as_str())]);
    let change = |password: Option<&str>, disabled: Option<bool>| v1::UpdateUserRequest {
        name: "ann".to_owned(),
        role: None,
        disabled,
        password: password.map(str::to_owned),
    };
    let set = admin.call::<v1::User>("UserService/UpdateUser", &change(Some("correct horse battery"), None));
    assert_eq!(set.expect_err("refused"), Code::FailedPrecondition, "no second way in");
    let _: v1::User = admin.call("UserService/UpdateUser", &change(None, Some(true))).expect("disabled");
    assert_eq!(browser.session(), Err(Code::Unauthenticated));
    refused(&Browser::new(&place, &provider).sign_in("ann"), "403", "disabled");

    // All of it stands in the record.
    let list: v1::ListAuditResponse =
        admin.call("AuditService/ListAudit", &v1::ListAuditRequest::default()).expect("list");
    let entries: Vec<_> = list.entries.iter().filter(|entry| entry.actor == "ann").collect();
    assert!(entries.iter().any(|e| e.action == "user.add" && e.via == "oidc" && e.after.contains(&provider.issuer)));
    assert!(
        entries.iter().any(|e| e.action == "user.update" && e.before.contains("operator") && e.after.contains("admin"))
    );
    assert!(
        entries
            .iter()
            .any(|e| e.action == "session.sign_in" && e.after.contains(&provider.issuer) && !e.address.is_empty())
    );

    // A provider that is gone is said.
    let at = format!("https://{}/auth/oidc/start", place.web);
    let one = Browser::new(&place, &provider);
    drop(provider);
    // What it has said stands for ten minutes.
    assert_eq!(one.get(&at, &[]).status, "303");
}

#[test]
fn a_provider_that_cannot_be_asked_is_said_and_passwords_work() {
    let mut provider = Provider::new();
    let place = provider.controller();
    let browser = Browser::new(&place, &provider);
    drop(provider);
    let seen = browser.get(&format!("https://{}/auth/oidc/start", place.web), &[]);
    refused(&seen, "502", "cannot be asked");
    signed_in(&place, "admin", &place.password);
    // Without it there is no such place: the page itself answers, or says that it was not built.
    let plain = Place::new();
    let mut page = Page::new(&plain);
    let options: v1::SignInOptions =
        page.call("SessionService/GetSignInOptions", &v1::GetSignInOptionsRequest {}).expect("anybody may ask");
    assert_eq!(options, v1::SignInOptions::default());
}
