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
    /// Reads it, all of it as it was at one moment.
    pub(crate) fn load(data_dir: &Path) -> io::Result<Self> {
        loop {
            let mark = Self::mark(data_dir);
            let read = Self::read(&data_dir.join(NAME));
            if Self::mark(data_dir) == mark {
                return read;
            }
        }
    }

    fn read(folder: &Path) -> io::Result<Self> {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(at)? {
            let entry = entry.map_err(at)?;
            files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).map_err(at)?));
        }
        Self::from_files(&files)
            .ok_or_else(|| io::Error::other(format!("{} is not whole: restore a backup", folder.display())))
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
        for (name, content) in self.files() {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(name))?;
            file.write_all(&content)?;
            file.sync_all()?;
        }
        File::open(new)?.sync_all()
    }

    /// Its files, by name.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut add = |name: &str, text: &str| files.push((name.to_owned(), text.as_bytes().to_vec()));
        let mut pair = |name: &str, pair: &Pair| {
            add(&format!("{name}.crt"), &pair.certificate);
            add(&format!("{name}.key"), &pair.key);
        };
        pair("ca", &self.ca);
        pair("server", &self.server);
        if let Some((other, cross)) = &self.other {
            pair("other", other);
            add("cross.crt", cross);
        }
        files
    }

    /// What files of these names say; `None` if one is missing.
    pub(crate) fn from_files(files: &[(String, Vec<u8>)]) -> Option<Self> {
        let text = |name: &str| {
            let (_, content) = files.iter().find(|(known, _)| known == name)?;
            String::from_utf8(content.clone()).ok()
        };
        let pair =
            |name: &str| Some(Pair { certificate: text(&format!("{name}.crt"))?, key: text(&format!("{name}.key"))? });
        let other = if text("other.crt").is_some() { Some((pair("other")?, text("cross.crt")?)) } else { None };
        Some(Self { ca: pair("ca")?, server: pair("server")?, other })
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
