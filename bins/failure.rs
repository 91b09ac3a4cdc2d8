//! Why a command of a daemon failed, and with which exit code; both daemons' programs have it.

use std::fmt;
use std::process::ExitCode;

/// Ends a command. Its text says what, where and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1 the answer is no, 2 wrong usage, 3 cannot reach or not allowed.
    pub(crate) code: Code,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    No = 1,
    Usage = 2,
    Refused = 3,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

impl Failure {
    pub(crate) fn no(text: impl fmt::Display) -> Self {
        Self { code: Code::No, text: text.to_string() }
    }

    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { code: Code::Usage, text: text.to_string() }
    }

    pub(crate) fn refused(text: impl fmt::Display) -> Self {
        Self { code: Code::Refused, text: text.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
