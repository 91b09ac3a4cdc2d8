//! Why a command did not do what was asked, and the exit code that says so.

use std::error::Error as _;

use cnnf_rpc::tls::TlsError;
use tonic::{Code, Status};

use crate::output::printable;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no, or what was named is not there.
    No(String),
    /// The answer was printed, and it is no.
    Differs,
    /// What was asked for makes no sense.
    Usage(String),
    /// The controller cannot be reached or does not allow it.
    Unreachable(String),
    /// Nobody reads the output any more; this is nobody's fault.
    NobodyReads,
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::No(_) | Self::Differs => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }

    /// What to say after `error: `, if anything. May have text from the controller: safe for a terminal.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::No(text) | Self::Usage(text) | Self::Unreachable(text) => {
                Some(text.lines().map(printable).collect::<Vec<_>>().join("\n"))
            }
            Self::NobodyReads | Self::Differs => None,
        }
    }

    /// A refusal of the controller at `server`.
    pub(crate) fn refused(status: &Status, server: &str) -> Self {
        let said = status.message();
        match status.code() {
            Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists | Code::OutOfRange => {
                Self::Usage(said.to_owned())
            }
            Code::Aborted => Self::Usage(format!("{said}: look at the rules as they are now and try again")),
            Code::NotFound => Self::No(said.to_owned()),
            Code::PermissionDenied | Code::Unauthenticated => Self::Unreachable(format!(
                "{server} does not allow this: {said}: use an administrator's credential with --admin or --context"
            )),
            Code::Unimplemented => Self::Unreachable(format!(
                "the controller at {server} does not know this command: bring it and cnnfctl to the same version"
            )),
            Code::DeadlineExceeded => {
                Self::Unreachable(format!("the controller at {server} did not answer in time: try again"))
            }
            Code::Unavailable | Code::Unknown | Code::Cancelled => {
                let why = innermost(status).unwrap_or_else(|| said.to_owned());
                Self::Unreachable(format!("the connection to {server} broke: {why}: see whether the controller runs"))
            }
            code => Self::Unreachable(format!("the controller at {server} failed: {said} ({code:?}): see its log")),
        }
    }
}

/// What lies under "transport error".
fn innermost(status: &Status) -> Option<String> {
    let mut cause = status.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Address(_) | TlsError::Material(_) => Self::Usage(error.to_string()),
            TlsError::Unreachable { .. } | TlsError::Timeout { .. } => {
                Self::Unreachable(format!("{error}: see whether the controller runs and the address is right"))
            }
            TlsError::Handshake { .. } | TlsError::WrongPin(_) | TlsError::Http { .. } => {
                Self::Unreachable(format!("{error}: see whether the address and the credential belong together"))
            }
        }
    }
}

impl From<cnnf_rpc::json::JsonError> for Failure {
    fn from(error: cnnf_rpc::json::JsonError) -> Self {
        Self::Unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_codes_of_the_contract() {
        for (code, exit) in [
            (Code::InvalidArgument, 2),
            (Code::FailedPrecondition, 2),
            (Code::AlreadyExists, 2),
            (Code::Aborted, 2),
            (Code::NotFound, 1),
            (Code::Unavailable, 3),
            (Code::Unauthenticated, 3),
            (Code::PermissionDenied, 3),
            (Code::DeadlineExceeded, 3),
            (Code::Internal, 3),
        ] {
            assert_eq!(Failure::refused(&Status::new(code, "x"), "c:1").code(), exit, "{code:?}");
        }
    }

    #[test]
    fn what_the_controller_says_cannot_steer_the_terminal() {
        let failure = Failure::refused(&Status::not_found("no \x1b[2J\u{202e}"), "c:1");
        assert_eq!(failure.text().as_deref(), Some("no \\x1b[2J\\u{202e}"));
    }
}
