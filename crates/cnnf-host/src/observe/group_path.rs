//! Paths of control groups as text. Their names are any bytes but `/`, newline and NUL, and whoever has a part of the tree delegated may
//! choose them: a group must not get out of sight by a name that is no UTF-8.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Stands before the two hexadecimal digits of a byte that is part of no character; in a name its own bytes are written so too.
const MARK: char = char::REPLACEMENT_CHARACTER;

/// A name or a path as a text from which no other one comes.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let put = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(text, "{MARK}{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == MARK { put(&mut text, MARK.encode_utf8(&mut [0; 4]).as_bytes()) } else { text.push(c) }
        }
        put(&mut text, chunk.invalid());
    }
    text
}

/// The path that became this text.
pub(super) fn path_of(text: &str) -> PathBuf {
    let mut parts = text.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.split_at_checked(2).map(|(code, rest)| (u8::from_str_radix(code, 16), rest)) {
            Some((Ok(byte), rest)) => {
                bytes.push(byte);
                bytes.extend_from_slice(rest.as_bytes());
            }
            // no text of ours
            _ => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_character_is_told_apart() {
        assert_eq!(text_of(b"/a\\x2d\xc3\xa4.service"), "/a\\x2dä.service");
        assert_eq!(text_of(b"a\xff\xfe"), "a\u{fffd}ff\u{fffd}fe");
        assert_ne!(text_of(b"\xff"), text_of("\u{fffd}ff".as_bytes()));
    }

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[a\u{fffd}f0-9ä]{0,12}".prop_map(String::into_bytes),
        ]) {
            let path = path_of(&text_of(&bytes));
            prop_assert_eq!(path.as_os_str().as_bytes(), &bytes[..]);
        }

        #[test]
        fn any_text_is_some_path(text in ".{0,20}") {
            path_of(&text);
        }
    }
}
