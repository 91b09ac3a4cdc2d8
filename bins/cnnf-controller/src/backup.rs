//! `backup` and `restore`: the database and the CA in one file.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cnnf_store::{Store, StoreError};

use crate::config;
use crate::credential::Credential;
use crate::failure::Failure;
use crate::init::{DATABASE, is_empty_or_absent};
use crate::owner;
use crate::pki::Folder;

/// What both are told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The backup; whoever reads it has the CA's key and every secret of the controller
    file: PathBuf,
    /// The configuration file; the default one may be missing
    #[arg(long, value_name = "FILE", env = "CNNF_CONFIG")]
    config: Option<PathBuf>,
    /// Where 'init' has put its files
    #[arg(long, value_name = "DIR", env = "CNNF_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Args {
    fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(config::load(&config::Args::of(self.config.clone(), self.data_dir.clone()))?.data_dir)
    }
}

/// Backs up a controller that may be running.
pub(crate) fn backup(args: &Args) -> Result<(), Failure> {
    let data_dir = args.data_dir()?;
    let pki = Folder::load(&data_dir)
        .map_err(|error| Failure::refused(format_args!("{error}: run 'cnnf-controller init' first")))?;
    let mut files = pki.files();
    match std::fs::read(Credential::path(&data_dir)) {
        Ok(text) => files.push((Credential::NAME.to_owned(), text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::refused(format_args!("{}: {error}", Credential::path(&data_dir).display()))),
    }
    Store::backup(&data_dir.join(DATABASE), &args.file, &files).map_err(|error| about(&args.file, &error))?;
    let bytes = std::fs::metadata(&args.file).map_or(0, |found| found.len());
    println!("{} has everything, in {bytes} bytes: keep it as safe as the controller itself", args.file.display());
    Ok(())
}

/// Makes a data directory of a backup.
pub(crate) fn restore(args: &Args) -> Result<(), Failure> {
    let data_dir = args.data_dir()?;
    if !is_empty_or_absent(&data_dir)? {
        return Err(Failure::no(format_args!(
            "{} is not empty: stop the controller and move it away first, so that there is a way back",
            data_dir.display()
        )));
    }
    let fresh = !data_dir.exists();
    let at = |error: std::io::Error| Failure::refused(format_args!("{}: {error}", data_dir.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&data_dir).map_err(at)?;
    let made = fill(&args.file, &data_dir).and_then(|()| owner::give(&data_dir));
    if made.is_err() {
        // Of an empty directory nothing but what was made here can be lost.
        Folder::remove(&data_dir);
        for name in [DATABASE, "cnnf.db-wal", "cnnf.db-shm", Credential::NAME] {
            let _ = std::fs::remove_file(data_dir.join(name));
        }
        if fresh {
            let _ = std::fs::remove_dir(&data_dir);
        }
    }
    made?;
    println!("{} is as it was when {} was made: start the controller", data_dir.display(), args.file.display());
    println!("hosts that have newer policies keep them until theirs is resolved anew; nothing goes back by itself");
    Ok(())
}

fn fill(file: &Path, data_dir: &Path) -> Result<(), Failure> {
    let files = Store::restore(file, &data_dir.join(DATABASE)).map_err(|error| about(file, &error))?;
    let at = |error: std::io::Error| Failure::refused(format_args!("{}: {error}", data_dir.display()));
    let pki = Folder::from_files(&files)
        .ok_or_else(|| Failure::refused(format_args!("{} has no CA in it: take another backup", file.display())))?;
    pki.store(data_dir).map_err(at)?;
    if let Some((_, text)) = files.iter().find(|(name, _)| name == Credential::NAME) {
        Credential::write_text(&Credential::path(data_dir), text).map_err(at)?;
    }
    Ok(())
}

fn about(file: &Path, error: &StoreError) -> Failure {
    match error {
        StoreError::Exists(_) => Failure::no(format_args!("{} exists already: choose another name", file.display())),
        _ => Failure::refused(format_args!("{}: {error}", file.display())),
    }
}
