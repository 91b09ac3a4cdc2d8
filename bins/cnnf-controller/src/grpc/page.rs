//! Lists in parts.

use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::page_size;
use cnnf_rpc::v1::PageRequest;
use tonic::Status;

/// The part of `all` that is wanted, and the token for the next. A token is the number of entries before the page: what comes or goes
/// between two pages may shift the next one.
pub(super) fn page<T>(all: Vec<T>, wanted: Option<&PageRequest>) -> Result<(Vec<T>, String), Status> {
    let token = wanted.map_or("", |page| page.token.as_str());
    let skip: usize = match token {
        "" => 0,
        text => text.parse().map_err(|_| bad())?,
    };
    let size = page_size(wanted);
    let next =
        if all.len().saturating_sub(skip) > size { skip.saturating_add(size).to_string() } else { String::new() };
    Ok((all.into_iter().skip(skip).take(size).collect(), next))
}

/// A token that no answer had.
pub(super) fn bad() -> Status {
    ConvertError::new("page.token", "is no token: use the next_token of the page before, or nothing").into()
}
