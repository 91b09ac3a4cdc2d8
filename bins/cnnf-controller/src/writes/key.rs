//! The key that a caller gives to a call.

use cnnf_rpc::convert::ConvertError;
use cnnf_store::Once;
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use crate::auth::Caller;
use crate::clock::now;

/// Where callers write it.
const NAME: &str = "idempotency-key";
/// The shortest that is taken: nobody shall find one by trying.
const SHORTEST: usize = 16;
/// The longest.
const LONGEST: usize = 128;

/// A key. It is not kept itself: under its hash the requests' own hashes tell nothing of passwords in them.
pub(super) struct Key(String);

impl Key {
    /// The one that a call has, if any.
    ///
    /// # Errors
    /// If it is none, or there are two.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let mut all = headers.get_all(NAME).into_iter();
        let Some(value) = all.next() else { return Ok(None) };
        let text = value.to_str().ok().filter(|text| {
            (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        match (text, all.next()) {
            (Some(text), None) => Ok(Some(Self(text.to_owned()))),
            _ => {
                let what = format!("is not one text of {SHORTEST} to {LONGEST} visible letters, such as a UUID");
                Err(ConvertError::new(NAME, what).into())
            }
        }
    }

    /// The call that has it.
    pub(super) fn once(&self, caller: &Caller, path: &str, body: &[u8]) -> Once {
        Once {
            caller: format!("{} {}", caller.via(), caller.name()),
            key: hash(&[self.0.as_bytes()]),
            request: hash(&[self.0.as_bytes(), path.as_bytes(), body]),
            at: now(),
        }
    }
}

/// Refuses a key that another call had.
pub(super) fn same(once: &Once, request: &str) -> Result<(), Status> {
    if once.request == request {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "the {NAME} of this call was that of another call, or of one that asked for something else: give each call a fresh one"
    )))
}

/// SHA-256; every part has its length before it, so that no two lists read the same.
fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<Key>, Status> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, value.parse().expect("a value"));
        }
        Key::of(&headers)
    }

    #[test]
    fn a_key_is_one_text_that_nobody_guesses() {
        assert!(read(&[]).expect("none").is_none());
        assert!(read(&["b8f5c0de-5a8b-4b0e-9a35-6f0f3a6d2f11"]).expect("a key").is_some());
        let long = "k".repeat(LONGEST + 1);
        for bad in
            [&["retry-1"][..], &[""], &["0123456789 abcdef"], &[&long], &["0123456789abcdef", "0123456789abcdeg"]]
        {
            let status = read(bad).err().unwrap_or_else(|| panic!("{bad:?}"));
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().starts_with("idempotency-key: is not one text"), "{}", status.message());
        }
    }

    #[test]
    fn no_two_calls_are_one() {
        assert_ne!(hash(&[b"k", b"/a", b"b"]), hash(&[b"k", b"/", b"ab"]));
        assert_ne!(hash(&[b"k", b"/a", b""]), hash(&[b"k", b"/a"]));
    }
}
