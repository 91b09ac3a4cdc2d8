//! `rotate-ca`: from one CA to the next without a host losing its stream.
//!
//! From the first step on the new CA signs, and both are believed. Who knows only the old one believes the new one by the old one's word
//! for it, which the server shows; defenders are told of both on their streams and renew their certificates. Once all have, the last step
//! takes the old CA's certificates out of use. Until then there is a way back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cnnf_rpc::tls::{LiveTls, WebTls};
use cnnf_store::{Audit, AuditQuery, HostRow, Store};
use serde_json::{Value, json};
use tokio::time::interval;

use super::{Ca, Folder, Pair, PkiError, Trust, name_of, names_of, parse, pin_text};
use crate::clock::now;
use crate::config;
use crate::controller::Controller;
use crate::credential::Credential;
use crate::failure::Failure;
use crate::init::DATABASE;
use crate::owner;

/// How often it is looked whether the folder is another one.
const LOOK: Duration = Duration::from_secs(1);
/// Hosts that are named at most.
const NAMED: usize = 10;

/// What `rotate-ca` is told.
#[derive(clap::Args)]
#[command(
    after_help = "Without an option a new CA is made and signs from now on; the old one is still believed. Hosts renew their \
                        certificates by themselves, and stay connected. '--finish' ends it."
)]
pub(crate) struct Args {
    /// The configuration file; the default one may be missing
    #[arg(long, value_name = "FILE", env = "CNNF_CONFIG")]
    config: Option<PathBuf>,
    /// Where 'init' has put its files
    #[arg(long, value_name = "DIR", env = "CNNF_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Say how far it is; exits 1 while hosts are still to come
    #[arg(long, group = "step")]
    status: bool,
    /// Believe the old CA no more
    #[arg(long, group = "step")]
    finish: bool,
    /// Let the old CA sign again
    #[arg(long, group = "step")]
    back: bool,
    /// With --finish: even if hosts are shut out by that until they enrol again
    #[arg(long, requires = "finish")]
    force: bool,
    /// Take this CA instead of making one
    #[arg(long, value_name = "PEM", requires = "ca_key", conflicts_with = "step")]
    ca_certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "PEM", requires = "ca_certificate")]
    ca_key: Option<PathBuf>,
}

/// One step of a change of the CA. A controller that runs takes it up within a second.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let place = config::Args::of(args.config.clone(), args.data_dir.clone());
    let data_dir = config::load(&place)?.data_dir;
    let folder = Folder::load(&data_dir)
        .map_err(|error| Failure::refused(format_args!("{error}: run 'cnnf-controller init' first")))?;
    let unusable = |error: PkiError| Failure::refused(format_args!("{}: {error}", data_dir.display()));
    if args.status {
        return status(&data_dir, &folder);
    }
    let next = if args.finish {
        finish(&data_dir, &folder, args.force)?
    } else if args.back {
        let Some((old, _)) = &folder.other else { return Err(unchanged()) };
        replaced(&folder, old.clone()).map_err(unusable)?
    } else if folder.other.is_some() {
        return Err(Failure::no("the CA is changing already: see --status, then --finish or --back"));
    } else {
        replaced(&folder, given(args.ca_certificate.as_deref(), args.ca_key.as_deref())?).map_err(unusable)?
    };
    // The credential first: it is believed before and after.
    let told = Credential::reissue(&data_dir, &next).map_err(|error| Failure::refused(error.to_string()))?;
    next.store(&data_dir)
        .map_err(|error| Failure::refused(format_args!("{}: {error}: the CA is as before", data_dir.display())))?;
    owner::give(&data_dir)?;
    println!("{}", told);
    if args.finish {
        println!("the old CA is believed no more");
    } else {
        println!("the new CA signs from now on, and both are believed: hosts renew by themselves");
        println!("administrators with a copy of the credential need the new one before 'rotate-ca --finish'");
    }
    Ok(())
}

fn unchanged() -> Failure {
    Failure::no("the CA is not changing: 'rotate-ca' without an option begins")
}

/// The pair in these files, or a new one.
pub(crate) fn given(certificate: Option<&Path>, key: Option<&Path>) -> Result<Pair, Failure> {
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", path.display())))
    };
    let (Some(certificate), Some(key)) = (certificate, key) else { return Ca::create().map_err(Failure::refused) };
    let pair = Pair { certificate: read(certificate)?, key: read(key)? };
    let bad = |error| Failure::usage(format_args!("{}: {error}", certificate.display()));
    Ca::of(&pair).map_err(bad)?;
    Ok(pair)
}

/// The folder with another CA that signs; the present one is believed still.
fn replaced(folder: &Folder, new: Pair) -> Result<Folder, PkiError> {
    let (old, ca) = (Ca::of(&folder.ca)?, Ca::of(&new)?);
    if parse(&old.der)?.subject() == parse(&ca.der)?.subject() {
        return Err(PkiError::new(
            "the new CA has the name of the old one: nobody could tell their certificates apart",
        ));
    }
    let server = ca.server(&names_of(&folder.server)?)?;
    let cross = old.vouch(&ca)?;
    Ok(Folder { ca: new, server, other: Some((folder.ca.clone(), cross)) })
}

fn finish(data_dir: &Path, folder: &Folder, force: bool) -> Result<Folder, Failure> {
    if folder.other.is_none() {
        return Err(unchanged());
    }
    let missing = missing(data_dir, folder)?;
    if !missing.is_empty() && !force {
        return Err(Failure::no(format_args!(
            "{} not renewed yet: {}: wait for them, or use --force and enrol them again later",
            if missing.len() == 1 { "1 host has".to_owned() } else { format!("{} hosts have", missing.len()) },
            names(&missing)
        )));
    }
    Ok(Folder { other: None, ..folder.clone() })
}

fn status(data_dir: &Path, folder: &Folder) -> Result<(), Failure> {
    let name = |pair: &Pair| {
        let der = pair.der().map_err(Failure::refused)?;
        name_of(&parse(&der).map_err(Failure::refused)?).map_err(Failure::refused)?;
        Ok::<_, Failure>(parse(&der).map_err(Failure::refused)?.subject().to_string())
    };
    println!("{} signs", name(&folder.ca)?);
    let Some((other, _)) = &folder.other else { return Ok(()) };
    println!("{} is believed still", name(other)?);
    let missing = missing(data_dir, folder)?;
    if missing.is_empty() {
        println!("all hosts have renewed their certificates: 'rotate-ca --finish' ends it");
        return Ok(());
    }
    Err(Failure::no(format_args!("{} of the hosts have not renewed yet: {}", missing.len(), names(&missing))))
}

/// The hosts whose newest certificate counts and is not by the CA that signs.
fn missing(data_dir: &Path, folder: &Folder) -> Result<Vec<HostRow>, Failure> {
    let pin = Ca::of(&folder.ca).map_err(Failure::refused)?.pin();
    let mut hosts = Store::hosts_beside(&data_dir.join(DATABASE)).map_err(Failure::refused)?;
    let at = now();
    // A certificate from before its end was noted has none.
    let over = |host: &HostRow| host.certificate.expires.0 != 0 && host.certificate.expires < at;
    hosts.retain(|host| !host.revoked && host.certificate.issuer != pin && !over(host));
    Ok(hosts)
}

fn names(hosts: &[HostRow]) -> String {
    let names: Vec<&str> = hosts.iter().take(NAMED).map(|host| host.name.as_str()).collect();
    let more = if hosts.len() > NAMED { format!(" and {} more", hosts.len() - NAMED) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Records which CA signs and which is believed besides, if that is not what was recorded last: whoever changed the folder, and whether or not
/// the controller ran then.
pub(crate) async fn record(controller: &Controller) {
    let trust = controller.trust();
    let present = json!({"signs": trust.ca.pin(), "believed_too": trust.other.as_deref().map(pin_text)});
    let query = AuditQuery { action: Some("ca".to_owned()), ..AuditQuery::default() };
    let last = match controller.store.audit(&query, 1) {
        Ok(last) => last.first().map(|row| row.entry.after.clone()).unwrap_or_default(),
        Err(error) => return tracing::error!(%error, "it could not be recorded which CA signs"),
    };
    let before: Value = serde_json::from_str(&last).unwrap_or_default();
    if before == present {
        return;
    }
    let signs = before["signs"] == present["signs"];
    let action = match (before.is_null(), present["believed_too"].is_null()) {
        (true, _) => "ca.first",
        (false, true) if signs => "ca.finish",
        (false, false) if before["signs"] == present["believed_too"] && !before["believed_too"].is_null() => "ca.back",
        (false, false) => "ca.begin",
        (false, true) => "ca.replace",
    };
    let entry = Audit {
        at: now(),
        actor: "controller".to_owned(),
        action: action.to_owned(),
        subject: "ca".to_owned(),
        before: last,
        after: present.to_string(),
        ..Audit::default()
    };
    if let Err(error) = controller.store.record(entry).await {
        tracing::error!(%error, "it could not be recorded which CA signs");
    }
}

/// Takes up what `rotate-ca` does to the folder, until the controller ends.
pub(crate) async fn watch(controller: Arc<Controller>, data_dir: PathBuf, tls: (LiveTls, WebTls)) {
    let mut mark = Folder::mark(&data_dir);
    let mut ticks = interval(LOOK);
    loop {
        tokio::select! {
            () = controller.ended() => return,
            _ = ticks.tick() => {}
        }
        let found = Folder::mark(&data_dir);
        if found.is_none() || found == mark {
            continue;
        }
        mark = found;
        let trust = Folder::load(&data_dir).map_err(PkiError::new).and_then(|folder| Trust::of(&folder));
        let taken = trust.and_then(|trust| {
            tls.0.replace(&trust.server).and_then(|()| tls.1.replace(&trust.server)).map_err(PkiError::new)?;
            Ok(trust)
        });
        match taken {
            Ok(trust) => {
                tracing::info!(ca = trust.ca.pin(), changing = trust.other.is_some(), "another CA signs");
                controller.trust.send_replace(trust);
                record(&controller).await;
            }
            Err(error) => tracing::error!(%error, "the CA is not taken up: the one before goes on"),
        }
    }
}
