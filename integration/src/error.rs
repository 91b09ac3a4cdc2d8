//! What can go wrong, and the exit code that says so.

use std::fmt;
use std::io;

/// A failure with the exit code of the interface contract: text is "what, where, what to do".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The answer is no, or a step failed (exit code 1).
    Failed(String),
    /// Wrong usage: a bad world file, a name that does not exist (exit code 2).
    Usage(String),
    /// Cannot be reached or is not allowed: no world is up, no root (exit code 3).
    Unreachable(String),
}

/// The lab's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The process exit code for this failure: 1, 2 or 3.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::Unreachable(_) => 3,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(text) | Error::Usage(text) | Error::Unreachable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// Puts what was tried in front of an operating system error.
pub(crate) trait Tried<T> {
    /// `what` reads like "cannot mount /proc in web1"; the system's own words follow it.
    fn tried(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{}: {error}", what())))
    }
}

impl<T> Tried<T> for nix::Result<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{}: {}", what(), error.desc())))
    }
}
