//! `admin.toml`: the first administrator's credential, a context of cnnfctl.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pki::{Ca, Folder, PkiError};

const HEAD: &str = "# Whoever reads this file administers the controller.\n";

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credential {
    /// HOST:PORT.
    server: String,
    /// The CAs to believe, PEM.
    ca: String,
    certificate: String,
    key: String,
}

impl Credential {
    /// Its file's name.
    pub(crate) const NAME: &'static str = "admin.toml";

    /// Where it is.
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(Self::NAME)
    }

    /// One by the CA that signs.
    pub(crate) fn issue(server: String, folder: &Folder) -> Result<Self, PkiError> {
        let admin = Ca::of(&folder.ca)?.admin("admin")?;
        let mut ca = unix(&folder.ca.certificate);
        if let Some((other, _)) = &folder.other {
            ca.push_str(&unix(&other.certificate));
        }
        Ok(Self { server, ca, certificate: unix(&admin.certificate), key: unix(&admin.key) })
    }

    /// One by the CA of `folder` in the place of the one that is there; says so.
    ///
    /// # Errors
    /// The one that is there cannot be read or replaced; it is as before.
    pub(crate) fn reissue(data_dir: &Path, folder: &Folder) -> io::Result<String> {
        let path = Self::path(data_dir);
        let at = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(format!("there is no {} to renew: whoever has it must take a new one", path.display()));
            }
            Err(error) => return Err(at(&error)),
        };
        let old: Self = toml::from_str(&text).map_err(|error| at(&error))?;
        let new = Self::issue(old.server, folder).map_err(|error| at(&error))?;
        let beside = data_dir.join("admin.toml.new");
        let _ = std::fs::remove_file(&beside);
        new.write(&beside).and_then(|()| std::fs::rename(&beside, &path)).map_err(|error| at(&error))?;
        File::open(data_dir)?.sync_all()?;
        Ok(format!("the administrator's credential is new: {}", path.display()))
    }

    /// Writes it to a new file that only its owner reads.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        Self::write_text(path, format!("{HEAD}{text}").as_bytes())
    }

    /// As [`Credential::write`], of its text.
    pub(crate) fn write_text(path: &Path, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text)?;
        file.sync_all()
    }
}

fn unix(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}
