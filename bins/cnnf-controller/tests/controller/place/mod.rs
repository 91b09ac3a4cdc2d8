//! A controller with its folder, and who speaks with it.

mod host;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cnnf_rpc::tls::{self, ClientTls, Token, certificates_from_pem, key_from_pem};
use cnnf_rpc::v1;
use cnnf_rpc::v1::api_token_service_client::ApiTokenServiceClient;
use cnnf_rpc::v1::enrollment_service_client::EnrollmentServiceClient;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) use host::{Defender, Stream, flow, inventory};

/// Longer than anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A controller's folder and, mostly, its process; both are gone when this is dropped.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    child: Option<Child>,
    /// Whether the folder is a small disk of the process's own.
    small: bool,
    /// What `run` is told besides.
    more: Vec<String>,
    pub(crate) grpc: SocketAddr,
    pub(crate) web: SocketAddr,
    /// The one-time password of user `admin`.
    pub(crate) password: String,
    /// What it has logged since it runs.
    log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

pub(crate) fn controller(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cnnf-controller")).args(arguments).output().expect("the controller starts")
}

impl Place {
    /// A folder of its own, and nothing in it.
    fn empty() -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            folder: tempfile::tempdir().expect("folder"),
            child: None,
            small: false,
            more: Vec::new(),
            grpc: nowhere,
            web: nowhere,
            password: String::new(),
            log: Default::default(),
        }
    }

    /// Initialised and running.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// As [`Place::new`]; `run` is told this besides.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut place = Self::empty();
        place.more = arguments.iter().map(|one| (*one).to_owned()).collect();
        let output = controller(&["init", "--data-dir", &place.path().display().to_string(), "--name", "127.0.0.1"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).expect("text");
        place.password = told.trim_end().rsplit(' ').next().expect("a password").to_owned();
        place.start();
        place
    }

    /// Running on what a backup says.
    pub(crate) fn restored(backup: &Path) -> Self {
        let mut place = Self::empty();
        let (from, to) = (backup.display().to_string(), place.path().display().to_string());
        let output = controller(&["restore", &from, "--data-dir", &to]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        place.start();
        place
    }

    /// Initialised and running on a disk of 2 MiB that only the process has: it is gone with it. Needs root.
    pub(crate) fn on_a_small_disk() -> Self {
        let mut place = Self::empty();
        place.small = true;
        let script = "mount -t tmpfs -o size=2m small \"$1\" && \"$0\" init --data-dir \"$1/data\" --name 127.0.0.1 >&2 && \
                      exec \"$0\" run --data-dir \"$1/data\" --listen 127.0.0.1:0 --web 127.0.0.1:0";
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            env!("CARGO_BIN_EXE_cnnf-controller"),
        ]);
        command.arg(place.folder.path());
        place.run(command);
        place
    }

    /// The data folder, as this process sees it.
    pub(crate) fn path(&self) -> PathBuf {
        let path = self.folder.path().join("data");
        match &self.child {
            Some(child) if self.small => {
                let root = PathBuf::from(format!("/proc/{}/root", child.id()));
                root.join(path.strip_prefix("/").expect("an absolute path"))
            }
            _ => path,
        }
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// With these arguments besides; with a configuration file the log's lines go to [`Place::logged`].
    pub(crate) fn start_with(&mut self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnnf-controller"));
        command.args(["run", "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--data-dir"]).arg(self.path());
        command.arg("--packages").arg(self.packages());
        command.args(&self.more).args(arguments);
        self.run(command);
    }

    /// Where the defender's packages would be; there are none.
    pub(crate) fn packages(&self) -> PathBuf {
        self.folder.path().join("packages")
    }

    /// Waits for a line of the log that has this.
    pub(crate) async fn logged(&self, part: &str) -> String {
        let find = || async { self.log.lock().expect("no panic").iter().find(|line| line.contains(part)).cloned() };
        until(find, Option::is_some).await.expect("found")
    }

    /// As `kill -HUP` does.
    pub(crate) fn hang_up(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill runs").success());
    }

    fn run(&mut self, mut command: Command) {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the controller starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let told = lines.by_ref().map_while(Result::ok).find(|line| line.contains("the controller runs"));
        let told = told.expect("the controller says that it runs");
        self.log.lock().expect("no panic").clear();
        // The rest goes where failures of this test go.
        let log = std::sync::Arc::clone(&self.log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                eprintln!("{line}");
                log.lock().expect("no panic").push(line);
            });
        });
        let at = |key: &str| {
            let (_, rest) = told.split_once(key).expect("an address");
            let rest = rest.split('"').next().expect("a part");
            rest.split_whitespace().next().and_then(|text| text.parse().ok()).expect("an address")
        };
        let [listen, web] = if told.starts_with('{') { ["\"listen\":\"", "\"web\":\""] } else { ["listen=", "web="] };
        (self.grpc, self.web) = (at(listen), at(web));
        self.child = Some(child);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// As an init system does; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        child.wait().expect("reaped").code()
    }

    /// What admin.toml says.
    pub(crate) fn admin_tls(&self) -> ClientTls {
        let text = std::fs::read_to_string(self.path().join("admin.toml")).expect("admin.toml");
        let table: toml::Table = text.parse().expect("TOML");
        let get = |key: &str| table[key].as_str().expect("text").to_owned();
        let certificate = certificates_from_pem(&get("certificate")).expect("PEM").remove(0);
        ClientTls {
            cas: certificates_from_pem(&get("ca")).expect("PEM"),
            identity: Some((certificate, key_from_pem(&get("key")).expect("PEM"))),
        }
    }

    pub(crate) async fn admin(&self) -> Channel {
        tls::connect(&self.grpc.to_string(), &self.admin_tls()).await.expect("the administrator gets in")
    }

    pub(crate) async fn anonymous(&self) -> Channel {
        let tls = ClientTls { identity: None, ..self.admin_tls() };
        tls::connect(&self.grpc.to_string(), &tls).await.expect("a connection")
    }

    pub(crate) async fn token(&self, ttl_seconds: u32, uses: u32) -> Token {
        let request = v1::CreateTokenRequest { ttl_seconds, uses, labels: Default::default() };
        let answer = FleetServiceClient::new(self.admin().await).create_token(request).await.expect("a token");
        answer.into_inner().token.parse().expect("a token")
    }

    /// The secret of a new API token.
    pub(crate) async fn api_token(&self, name: &str, role: &str) -> String {
        let request = v1::CreateApiTokenRequest { name: name.to_owned(), role: role.to_owned(), ttl_seconds: 0 };
        let answer = ApiTokenServiceClient::new(self.admin().await).create_token(request).await.expect("a token");
        answer.into_inner().secret
    }

    /// A host of this name, enrolled with a token of its own.
    pub(crate) async fn enrol(&self, name: &str) -> Defender {
        let token = self.token(0, 0).await;
        self.enrol_with(&token, name).await.expect("let in")
    }

    pub(crate) async fn enrol_with(&self, token: &Token, name: &str) -> Result<Defender, Status> {
        let pinned = tls::connect_pinned(&self.grpc.to_string(), token.pin).await.expect("the pin holds");
        let key = rcgen::KeyPair::generate().expect("key");
        let csr = rcgen::CertificateParams::default().serialize_request(&key).expect("request");
        let request = v1::EnrollRequest {
            token: token.secret_text(),
            csr: csr.der().to_vec(),
            host_name: name.to_owned(),
            labels: [("env".to_owned(), "test".to_owned())].into(),
        };
        let answer = EnrollmentServiceClient::new(pinned.channel).enroll(request).await?.into_inner();
        let identity = Some((answer.certificate, key.serialize_der()));
        let tls = ClientTls { cas: vec![answer.ca_certificate], identity };
        Ok(Defender { id: answer.host_id, name: name.to_owned(), tls })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("small")
}

pub(crate) fn rule(name: &str, from: &str, to: &str, effect: &str) -> v1::Rule {
    v1::Rule {
        name: name.to_owned(),
        enabled: true,
        from: from.to_owned(),
        to: to.to_owned(),
        ports: vec!["tcp/80".to_owned()],
        effect: effect.to_owned(),
        ..v1::Rule::default()
    }
}

/// Asks until the answer is as wanted.
pub(crate) async fn until<T, F: Future<Output = T>>(ask: impl Fn() -> F, wanted: impl Fn(&T) -> bool) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "it never came to be as wanted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}
