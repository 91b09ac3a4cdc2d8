//! Where the project's programs and the machine's are.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Tried};
use crate::plan::{PROGRAMS, SEARCH_PATH};

/// The folder with cnnf-lab, cnnf-controller, cnnf-defender and cnnfctl: `CNNF_BIN_DIR`, or the folder of the running
/// program, or the one above a test's (`target/debug` for `target/debug/deps`).
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CNNF_BIN_DIR") {
        return std::path::absolute(dir).tried(|| "cannot use CNNF_BIN_DIR".to_owned());
    }
    let own = std::env::current_exe().tried(|| "cannot find the running program".to_owned())?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    if folder.file_name().is_some_and(|name| name == "deps")
        && let Some(above) = folder.parent()
    {
        return Ok(above.to_owned());
    }
    Ok(folder.to_owned())
}

/// One of the project's programs.
pub(crate) fn ours(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Unreachable(format!(
        "{} is missing, build it (cargo build -p {name}) or set CNNF_BIN_DIR to the folder it is in",
        path.display()
    )))
}

/// Whether a host would find `program` on its search path.
pub(crate) fn is_installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let ours = folder().unwrap_or_default();
    SEARCH_PATH.split(':').any(|place| {
        let place = if place == PROGRAMS { ours.as_path() } else { Path::new(place) };
        place.join(program).is_file()
    })
}
