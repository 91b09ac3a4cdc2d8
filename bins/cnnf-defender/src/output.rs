//! What commands print.

use std::fmt;
use std::io::{self, Write};

use crate::failure::Failure;

/// Prints a line, as `println!` does, and says why it could not.
macro_rules! say {
    ($($words:tt)+) => {
        $crate::output::line(format_args!($($words)+))
    };
}
pub(crate) use say;

/// Prints a line. Who reads no further, as `head` does, has what they wanted.
pub(crate) fn line(words: fmt::Arguments<'_>) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{words}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::refused(format_args!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}
