//! `init`: a CA, a server certificate, a database and an administrator's credential, all or nothing.

use std::fs::DirBuilder;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cnnf_core::access::Role;
use cnnf_store::{Audit, Kept, Store, UserRow};

use crate::clock::now;
use crate::credential::Credential;
use crate::failure::Failure;
use crate::owner;
use crate::people;
use crate::pki::{Ca, Folder, PkiError, rotation};

/// The database's file.
pub(crate) const DATABASE: &str = "cnnf.db";
/// Who signs in to the web page first.
const ADMIN_USER: &str = "admin";

/// What `init` is told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where everything is put; must not exist or be empty
    #[arg(long, value_name = "DIR", env = "CNNF_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// A name or address under which hosts and cnnfctl reach the controller; may be given several times
    #[arg(long = "name", value_name = "DNS-OR-IP", required = true)]
    pub(crate) names: Vec<String>,
    /// The address that 'run' will listen on; its port goes into the credential
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7443")]
    pub(crate) listen: std::net::SocketAddr,
    /// Take this CA instead of making one
    #[arg(long, value_name = "PEM", requires = "ca_key")]
    ca_certificate: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "PEM", requires = "ca_certificate")]
    ca_key: Option<PathBuf>,
}

/// Makes everything; what was made is removed again if a part fails.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    for name in &args.names {
        check_name(name)?;
    }
    let folder = &args.data_dir;
    let fresh = take_folder(folder)?;
    let mut made = Vec::new();
    let password = people::first_password();
    let result = fill(folder, args, &password, &mut made).and_then(|()| owner::give(folder));
    if result.is_err() {
        for file in made {
            let _ = std::fs::remove_file(file);
        }
        Folder::remove(folder);
        if fresh {
            let _ = std::fs::remove_dir(folder);
        }
    }
    result?;
    println!("made {}", folder.display());
    println!("the administrator's credential is {}", Credential::path(folder).display());
    println!("sign in to the web page as '{ADMIN_USER}' with this one-time password: {password}");
    Ok(())
}

/// Makes the folder; `false` if it was there and empty.
fn take_folder(folder: &Path) -> Result<bool, Failure> {
    if !is_empty_or_absent(folder)? {
        return Err(Failure::no(format_args!(
            "{} is not empty: choose another data directory, or remove it if its contents are not needed",
            folder.display()
        )));
    }
    let fresh = !folder.exists();
    let at = |error: std::io::Error| Failure::refused(format_args!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
    Ok(fresh)
}

/// Whether nothing can be lost by filling a folder.
pub(crate) fn is_empty_or_absent(folder: &Path) -> Result<bool, Failure> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::refused(format_args!("{}: {error}", folder.display()))),
    }
}

fn fill(folder: &Path, args: &Args, password: &str, made: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let crypto = |error: PkiError| Failure::refused(error);
    let ca = rotation::given(args.ca_certificate.as_deref(), args.ca_key.as_deref())?;
    let server = Ca::of(&ca).and_then(|ca| ca.server(&args.names)).map_err(crypto)?;
    let pki = Folder { ca, server, other: None };
    let first = args.names.first().map(String::as_str).unwrap_or_default();
    let host = if first.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{first}]") } else { first.to_owned() };
    let credential = Credential::issue(format!("{host}:{}", args.listen.port()), &pki).map_err(crypto)?;
    let at = |error: std::io::Error| Failure::refused(format_args!("cannot write to {}: {error}", folder.display()));
    pki.store(folder).map_err(at)?;
    let database = folder.join(DATABASE);
    made.extend(["", "-wal", "-shm"].map(|end| folder.join(format!("{DATABASE}{end}"))));
    let store = Store::create(&database).map_err(Failure::refused)?;
    let (admin, entry) = first_user(password)?;
    store.put_user(admin, Kept::All, entry).wait().map_err(Failure::refused)?;
    let admin = Credential::path(folder);
    made.push(admin.clone());
    credential.write(&admin).map_err(at)
}

/// Who signs in first: must choose a password of their own then.
fn first_user(password: &str) -> Result<(UserRow, Audit), Failure> {
    let user = UserRow {
        name: ADMIN_USER.to_owned(),
        role: Role::Admin,
        password: people::hash_now(password).map_err(Failure::refused)?,
        must_change: true,
        disabled: false,
        created: now(),
        last_sign_in: None,
    };
    let entry = Audit {
        at: user.created,
        actor: "controller".to_owned(),
        action: "user.add".to_owned(),
        subject: user.name.clone(),
        after: serde_json::json!({"role": user.role}).to_string(),
        ..Audit::default()
    };
    Ok((user, entry))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label)) {
        return Ok(());
    }
    Err(Failure::usage(format_args!(
        "--name '{}' is neither a DNS name nor an address: write for example controller.example or 10.0.0.5, without a port",
        name.escape_debug()
    )))
}
