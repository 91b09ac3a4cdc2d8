//! Where the CA and the server's certificate are kept: one folder in the data directory, replaced as a whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Pair;

const NAME: &str = "pki";
const NEW: &str = "pki.new";

/// What the folder has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    /// The CA that signs.
    pub(crate) ca: Pair,
    /// The controller's own.
    pub(crate) server: Pair,
    /// While the CA changes: the one that was there before, and its word for the one that signs now, PEM.
    pub(crate) other: Option<(Pair, String)>,
}

impl Folder {
    /// Reads it.
    pub(crate) fn load(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join(NAME);
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        let pair = |name: &str| {
            Ok::<_, io::Error>(Pair { certificate: read(&format!("{name}.crt"))?, key: read(&format!("{name}.key"))? })
        };
        let other = if folder.join("other.crt").exists() { Some((pair("other")?, read("cross.crt")?)) } else { None };
        Ok(Self { ca: pair("ca")?, server: pair("server")?, other })
    }

    /// Puts it in its place, instead of an older one: a reader finds the one or the other.
    ///
    /// # Errors
    /// It could not be written; what was there is as before.
    pub(crate) fn store(&self, data_dir: &Path) -> io::Result<()> {
        let (place, new) = (data_dir.join(NAME), data_dir.join(NEW));
        let _ = std::fs::remove_dir_all(&new);
        let written = self.write(&new).and_then(|()| {
            // An exchange has no moment without a folder. rename(2): RENAME_EXCHANGE.
            let flags = if place.exists() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
            renameat_with(CWD, &new, CWD, &place, flags)?;
            File::open(data_dir)?.sync_all()
        });
        let _ = std::fs::remove_dir_all(&new);
        written
    }

    fn write(&self, new: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(new)?;
        let write = |name: &str, text: &str| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(name))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        let pair = |name: &str, pair: &Pair| {
            write(&format!("{name}.crt"), &pair.certificate)?;
            write(&format!("{name}.key"), &pair.key)
        };
        pair("ca", &self.ca)?;
        pair("server", &self.server)?;
        if let Some((other, cross)) = &self.other {
            pair("other", other)?;
            write("cross.crt", cross)?;
        }
        File::open(new)?.sync_all()
    }

    /// Tells one state of the folder from the next.
    pub(crate) fn mark(data_dir: &Path) -> Option<(u64, i64, i64)> {
        let found = std::fs::metadata(data_dir.join(NAME)).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }

    /// Takes away what a failed `init` has made.
    pub(crate) fn remove(data_dir: &Path) {
        let _ = std::fs::remove_dir_all(data_dir.join(NAME));
    }
}
