//! Root makes and changes the files of a controller that is not root: they belong to whoever owns the data directory.

use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

use crate::credential::Credential;
use crate::failure::Failure;

/// Gives everything in the data directory to its owner; the administrator's credential stays with who made it.
///
/// # Errors
/// An owner could not be changed; it is said whose.
pub(crate) fn give(data_dir: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::refused(format_args!("{}: {error}: give what is in it to its owner", data_dir.display()))
    };
    let owner = std::fs::metadata(data_dir).map_err(failed)?;
    below(data_dir, (owner.uid(), owner.gid())).map_err(failed)
}

fn below(folder: &Path, owner: (u32, u32)) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if entry.file_name() == Credential::NAME {
            continue;
        }
        if (found.uid(), found.gid()) != owner {
            lchown(entry.path(), Some(owner.0), Some(owner.1))?;
        }
        if found.is_dir() {
            below(&entry.path(), owner)?;
        }
    }
    Ok(())
}
