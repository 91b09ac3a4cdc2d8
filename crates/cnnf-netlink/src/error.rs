//! The crate's error, and the kernel's words in it.

use std::io;

/// What can go wrong between us and the kernel. `what` names the act in plain words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// The act.
        what: &'static str,
        /// The call's error.
        source: io::Error,
    },
    /// The kernel refused a request with an error message.
    #[error("{what}: {}{}", io::Error::from_raw_os_error(*errno), text.as_deref().map(|t| format!(" ({t})")).unwrap_or_default())]
    Refused {
        /// The act.
        what: &'static str,
        /// Positive errno.
        errno: i32,
        /// The kernel's extended acknowledgement, where it gave one.
        text: Option<String>,
    },
    /// The kernel's answer did not come or ended in the middle.
    #[error("{what}: the kernel's answer is incomplete")]
    Incomplete {
        /// The act.
        what: &'static str,
    },
    /// What was dumped changed under every attempt.
    #[error("{what}: it changed during each of {attempts} attempts to read it")]
    Unsteady {
        /// The act.
        what: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
}

impl Error {
    /// The errno behind the error, if there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Refused { errno, .. } => Some(*errno),
            Self::Incomplete { .. } | Self::Unsteady { .. } => None,
        }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
