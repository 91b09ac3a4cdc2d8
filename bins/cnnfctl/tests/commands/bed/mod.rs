//! A controller that answers with fixed messages over real mutual TLS, and a way to run cnnfctl against it.

mod answers;
mod channels;
mod controller;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use cnnf_rpc::tls::{PeerIdentity, ServerTls, accept, server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) use controller::Controller;

/// A certificate authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca"))
    }

    fn issue(&self, name: SanType, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.subject_alt_names.push(name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("key");
        (params.signed_by(&key, &self.0).expect("sign"), key)
    }

    /// What `cnnf-controller init` writes.
    pub(crate) fn admin_toml(&self, server: &str, identity: &PeerIdentity) -> String {
        let uri = SanType::URI(identity.to_uri().expect("uri").as_str().try_into().expect("uri"));
        let (certificate, key) = self.issue(uri, ExtendedKeyUsagePurpose::ClientAuth);
        let [ca, certificate, key] = [self.0.pem(), certificate.pem(), key.serialize_pem()];
        format!("server = \"{server}\"\nca = '''\n{ca}'''\ncertificate = '''\n{certificate}'''\nkey = '''\n{key}'''\n")
    }
}

/// A running controller and a credential for it.
pub(crate) struct Bed {
    pub(crate) address: SocketAddr,
    pub(crate) ca: Ca,
    pub(crate) dir: tempfile::TempDir,
    /// The requests that came, as Debug prints them.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    pub(crate) controller: Controller,
    _runtime: Runtime,
}

impl Bed {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("runtime");
        let ca = Ca::new();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        let name = SanType::IpAddress(address.ip());
        let (certificate, key) = ca.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        let tls = ServerTls {
            chain: vec![certificate.der().to_vec(), ca.0.der().to_vec()],
            key: key.serialize_der(),
            client_cas: vec![ca.0.der().to_vec()],
        };
        let controller = Controller::new(requests.clone());
        runtime.block_on(async {
            let incoming = accept(listener, &tls).expect("tls");
            tokio::spawn(controller.clone().routes(server()).serve_with_incoming(incoming));
        });
        let dir = tempfile::tempdir().expect("directory");
        let admin = ca.admin_toml(&address.to_string(), &PeerIdentity::Admin("root".into()));
        std::fs::write(dir.path().join("admin.toml"), admin).expect("write");
        Self { address, ca, dir, requests, controller, _runtime: runtime }
    }

    /// Ends the streams of changes, as a controller does that ends.
    pub(crate) fn cut(&self) {
        self.controller.cut();
    }

    /// A file in the bed's directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).expect("write");
        file.display().to_string()
    }

    /// cnnfctl with these arguments and the bed's credential.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.env("CNNF_ADMIN", self.dir.path().join("admin.toml"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("run"), &self.address.to_string())
    }

    /// Standard output of a run that must do.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
        ran.out
    }
}

/// cnnfctl with these arguments and no configuration.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_cnnfctl")));
    command.args(args).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The controller's address, which differs from run to run, reads SERVER.
    pub(crate) fn of(output: Output, server: &str) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(server, "SERVER");
        Self { code: output.status.code().expect("code"), out: text(output.stdout), err: text(output.stderr) }
    }
}
