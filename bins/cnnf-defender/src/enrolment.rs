//! What an enrolment leaves on the host: a key that never leaves it, certificates, and where the controller is.
//!
//! All of it is in one folder that is put in its place by one rename: it is there whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use cnnf_rpc::tls::ClientTls;
use serde::{Deserialize, Serialize};

/// Who this host is.
#[derive(Clone)]
pub(crate) struct Enrolment {
    pub(crate) place: Place,
    /// PKCS#8 in DER.
    pub(crate) key: Vec<u8>,
    /// In DER.
    pub(crate) certificate: Vec<u8>,
    /// The CAs that the controller may be signed by; the first one signs this host. In DER.
    pub(crate) cas: Vec<Vec<u8>>,
}

/// CAs that are kept at most.
const MAX_CAS: usize = 4;

/// The part that people may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// HOST:PORT.
    pub(crate) controller: String,
    pub(crate) host_id: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Enrolment {
    /// Reads it; `None` if this host is not enrolled.
    ///
    /// # Errors
    /// Something is there and cannot be read.
    pub(crate) fn load(state_dir: &Path) -> io::Result<Option<Self>> {
        let folder = folder(state_dir);
        let text = match fs::read_to_string(folder.join("place.toml")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let place = toml::from_str(&text).map_err(io::Error::other)?;
        let read = |name: &str| fs::read(folder.join(name));
        let mut cas = vec![read(&ca_name(0))?];
        for n in 1..MAX_CAS {
            match read(&ca_name(n)) {
                Ok(ca) => cas.push(ca),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Self { place, key: read("key.der")?, certificate: read("certificate.der")?, cas }))
    }

    /// Puts it in its place, instead of an older one. It belongs to whoever owns the state directory: root enrols for a defender that is not root.
    ///
    /// # Errors
    /// It could not be written; what was there is as before.
    pub(crate) fn store(&self, state_dir: &Path) -> io::Result<()> {
        let (new, old, place) = (state_dir.join("identity.new"), state_dir.join("identity.old"), folder(state_dir));
        let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid()));
        // the defender itself has nothing to give, and may not
        let give = |path: &Path| match owner(state_dir) {
            Ok(wanted) if owner(path)? != wanted => chown(path, Some(wanted.0), Some(wanted.1)),
            _ => Ok(()),
        };
        let _ = fs::remove_dir_all(&new);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
        give(&new)?;
        let text = toml::to_string(&self.place).map_err(io::Error::other)?;
        let files =
            [("key.der", self.key.as_slice()), ("certificate.der", &self.certificate), ("place.toml", text.as_bytes())];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes)).into_iter();
        let cas = self.cas.iter().take(MAX_CAS).enumerate().map(|(n, ca)| (ca_name(n), ca.as_slice()));
        for (name, bytes) in files.chain(cas) {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(&name))?;
            give(&new.join(&name))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        let _ = fs::remove_dir_all(&old);
        if place.exists() {
            fs::rename(&place, &old)?;
        }
        if let Err(error) = fs::rename(&new, &place) {
            if old.exists() {
                fs::rename(&old, &place)?;
            }
            return Err(error);
        }
        fs::File::open(state_dir)?.sync_all()?;
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }

    /// What a connection to the controller needs.
    pub(crate) fn tls(&self) -> ClientTls {
        ClientTls { cas: self.cas.clone(), identity: Some((self.certificate.clone(), self.key.clone())) }
    }
}

fn ca_name(n: usize) -> String {
    format!("ca{n}.der")
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn enrolment(id: &str) -> Enrolment {
        let place = Place {
            controller: "c:7443".into(),
            host_id: id.into(),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
        };
        Enrolment { place, key: vec![1], certificate: vec![2], cas: vec![vec![3], vec![4]] }
    }

    #[test]
    fn it_is_there_whole_and_only_for_root() {
        let dir = tempfile::tempdir().expect("directory");
        assert!(Enrolment::load(dir.path()).expect("read").is_none());
        enrolment("a").store(dir.path()).expect("store");
        enrolment("b").store(dir.path()).expect("store again");
        let back = Enrolment::load(dir.path()).expect("read").expect("enrolled");
        assert_eq!((back.place, back.key), (enrolment("b").place, vec![1]));
        assert_eq!(back.cas, [[3], [4]]);
        let mode = fs::metadata(dir.path().join("identity/key.der")).expect("key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1, "nothing is left over");
    }
}
