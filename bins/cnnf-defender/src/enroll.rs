//! `enroll`: trades a token for a certificate.

use std::path::Path;
use std::process::{Command, Stdio};

use cnnf_core::id::HostId;
use cnnf_core::label::Labels;
use cnnf_rpc::tls::{self, PeerIdentity, Token};
use cnnf_rpc::v1;
use cnnf_rpc::v1::enrollment_service_client::EnrollmentServiceClient;

use crate::enrolment::{Enrolment, Place};
use crate::failure::Failure;
use crate::output::say;
use crate::{config, credentials};

/// The unit of the package.
const SERVICE: &str = "cnnf-defender.service";

/// What `enroll` is told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the controller is
    #[arg(long, value_name = "HOST:PORT")]
    controller: String,
    /// The token
    #[arg(long, env = "CNNF_TOKEN", hide_env_values = true)]
    token: String,
    /// A label of this host; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Enrols a host again that is enrolled already; it becomes another one
    #[arg(long)]
    force: bool,
    /// The configuration file; the default one may be missing
    #[arg(long, value_name = "FILE", env = "CNNF_CONFIG")]
    config: Option<std::path::PathBuf>,
}

/// Enrols. Nothing changes unless all of it succeeds.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(args.config.as_deref())?;
    let token: Token = args.token.parse().map_err(Failure::usage)?;
    let labels: Labels = args.labels.join(",").parse().map_err(Failure::usage)?;
    let known = Enrolment::load(&config.state_dir).map_err(|error| at(&config.state_dir, error))?;
    if let Some(known) = known.filter(|_| !args.force) {
        return Err(Failure::no(format_args!(
            "this host is enrolled already, as {} at {}: use --force to enrol it as another one",
            known.place.host_id, known.place.controller
        )));
    }
    std::fs::create_dir_all(&config.state_dir).map_err(|error| at(&config.state_dir, error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::refused)?;
    let enrolment = runtime.block_on(ask(&args.controller, &token, labels))?;
    enrolment.store(&config.state_dir).map_err(|error| at(&config.state_dir, error))?;
    say!("enrolled as {} at {}", enrolment.place.host_id, enrolment.place.controller)?;
    if args.config.is_none() {
        start_service()?;
    }
    Ok(())
}

/// Starts the service that came with the package: it waits for this, and one that runs is somebody else now.
fn start_service() -> Result<(), Failure> {
    let systemctl = |words: &[&str]| {
        Command::new("systemctl").args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let is_there =
        Path::new("/run/systemd/system").exists() && systemctl(&["cat", SERVICE]).is_ok_and(|status| status.success());
    if !is_there {
        return Ok(());
    }
    match systemctl(&["restart", SERVICE]) {
        Ok(status) if status.success() => say!("{SERVICE} runs")?,
        Ok(_) => eprintln!("warning: {SERVICE} does not start: see 'journalctl -u {SERVICE}'"),
        Err(error) => eprintln!("warning: {SERVICE} is not started: systemctl: {error}"),
    }
    Ok(())
}

fn at(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::refused(format_args!("{}: {error}", path.display()))
}

async fn ask(controller: &str, token: &Token, labels: Labels) -> Result<Enrolment, Failure> {
    let host_name = host_name();
    let (key, csr) = credentials::new_key(&host_name)
        .map_err(|error| Failure::refused(format_args!("cannot make a key and its request: {error}")))?;
    let pinned = tls::connect_pinned(controller, token.pin).await.map_err(|error| match error {
        tls::TlsError::Address(_) => Failure::usage(error),
        tls::TlsError::Unreachable { .. } | tls::TlsError::Timeout { .. } => {
            Failure::refused(format_args!("{error}: check the address, and that the controller runs"))
        }
        error => Failure::refused(error),
    })?;
    let request = v1::EnrollRequest { token: token.secret_text(), csr, host_name, labels: labels.0.clone() };
    let answer = EnrollmentServiceClient::new(pinned.channel)
        .enroll(request)
        .await
        .map_err(|status| Failure::refused(format_args!("{controller} refuses: {}", status.message())))?
        .into_inner();

    let bad = |what: &str| Failure::refused(format_args!("{controller} answers wrongly: {what}; nothing was changed"));
    let identity = PeerIdentity::from_certificate(&answer.certificate).map_err(|error| bad(&error.to_string()))?;
    if identity != PeerIdentity::Defender(HostId::new(&answer.host_id)) {
        return Err(bad("the certificate is for somebody else"));
    }
    let place = Place { controller: controller.to_owned(), host_id: answer.host_id, labels: labels.0 };
    // While the controller's CA changes, the token may be from before: the one that signs now has the word of the one that was pinned.
    let mut cas = vec![answer.ca_certificate];
    if cas[0] != pinned.ca {
        cas.push(pinned.ca);
    }
    Ok(Enrolment { place, key, certificate: answer.certificate, cas })
}

/// The host's name, for people.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
