//! Core values to messages and back, one file a concept.
//!
//! From the core: `v1::X::from(&value)`. From the wire: `X::try_from(message)`, or a function where more must be known. Everything that
//! arrives is checked; a [`ConvertError`] names the field by its path, such as `rules[3].ports`.

pub mod common;
pub mod definition;
pub mod event;
pub mod flow;
pub mod history;
pub mod host_policy;
pub mod policy;
#[cfg(test)]
mod tests;

use std::fmt;

use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

/// Why a message is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// Which field, such as `rules[3].ports`; empty for the message itself.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConvertError {
    /// Something is wrong with `field`.
    pub fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }

    /// The same of a message that stands in `field` of another.
    #[must_use]
    pub fn under(self, field: impl fmt::Display) -> Self {
        let path = match self.field.as_str() {
            "" => field.to_string(),
            inner => format!("{field}.{inner}"),
        };
        Self { field: path, message: self.message }
    }

    /// The same of entry `index` of the list `field` of another.
    #[must_use]
    pub fn under_index(self, field: &str, index: usize) -> Self {
        self.under(format_args!("{field}[{index}]"))
    }
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

impl std::error::Error for ConvertError {}

impl From<ConvertError> for tonic::Status {
    fn from(error: ConvertError) -> Self {
        // Beside the text for people, the field's path for programs: google.rpc.BadRequest.
        let text = error.to_string();
        let details = ErrorDetails::with_bad_request_violation(error.field, error.message);
        Self::with_error_details(Code::InvalidArgument, text, details)
    }
}

/// Converts a list, with the entry's number in errors.
pub(crate) fn list<M, T>(
    field: &str,
    messages: Vec<M>,
    limit: usize,
    convert: impl Fn(M) -> Result<T, ConvertError>,
) -> Result<Vec<T>, ConvertError> {
    if messages.len() > limit {
        return Err(ConvertError::new(field, format_args!("{} entries are too many: at most {limit}", messages.len())));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(n, message)| convert(message).map_err(|error| error.under_index(field, n)))
        .collect()
}

/// Parses a word, an address and so on, with the field's name in errors.
pub(crate) fn parse<T>(field: &str, text: &str) -> Result<T, ConvertError>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    text.parse().map_err(|error| ConvertError::new(field, error))
}

/// As [`parse`]; the empty text is `None`.
pub(crate) fn parse_some<T>(field: &str, text: &str) -> Result<Option<T>, ConvertError>
where
    T: std::str::FromStr<Err: fmt::Display>,
{
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}
