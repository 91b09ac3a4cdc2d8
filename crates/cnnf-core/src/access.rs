//! What people and programs may do to the controller, and what they are called.

use std::fmt;
use std::str::FromStr;

use crate::net::ParseError;
use crate::policy::words;

words! {
    /// What somebody may do. Each may do what the ones before it may.
    Role {
        /// Reads.
        Auditor = "auditor",
        /// Changes everything but users, API tokens and settings.
        Operator = "operator",
        /// Does everything.
        Admin = "admin",
    } default Auditor
}

/// Bytes of a name at most.
const MAX_NAME: usize = 64;
/// Bytes of a password at least and at most.
const PASSWORD: std::ops::RangeInclusive<usize> = 12..=1024;

/// Why a name or password is not taken. Never repeats a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// A name of other letters or another length.
    #[error("is not usable: 1 to 64 of letters, digits, '.', '_', '-' and '@', beginning with a letter or digit")]
    Name,
    /// A password of another length.
    #[error("is too short or too long: 12 to 1024 bytes; several words make a good one")]
    Length,
    /// A password that is the name, or one letter over and over.
    #[error("is too easy to guess: choose one that is not the name and has at least five different letters")]
    Weak,
}

/// Checks what a user or an API token is to be called.
///
/// # Errors
/// [`AccessError::Name`].
pub fn check_name(name: &str) -> Result<(), AccessError> {
    let usable = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    let good = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(usable)
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    good.then_some(()).ok_or(AccessError::Name)
}

/// Checks a new password. Length counts, not which kinds of letters (NIST SP 800-63B, section 3.1.1).
///
/// # Errors
/// [`AccessError::Length`] or [`AccessError::Weak`].
pub fn check_password(name: &str, password: &str) -> Result<(), AccessError> {
    if !PASSWORD.contains(&password.len()) {
        return Err(AccessError::Length);
    }
    let different: std::collections::BTreeSet<char> = password.chars().collect();
    let same = password.to_lowercase().contains(&name.to_lowercase()) && password.len() < name.len() + 8;
    if same || different.len() < 5 { Err(AccessError::Weak) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_into_no_other_text() {
        for good in ["a", "admin", "jo.doe@example.com", "ci-1_x", &"n".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-x", ".x", "a b", "a/b", "ä", "a\n", &"n".repeat(65)] {
            assert_eq!(check_name(bad), Err(AccessError::Name), "{bad}");
        }
    }

    #[test]
    fn a_password_is_long_and_not_the_name() {
        assert_eq!(check_password("jo", "correct horse battery"), Ok(()));
        assert_eq!(check_password("jo", "short"), Err(AccessError::Length));
        assert_eq!(check_password("jo", &"x1y2z3".repeat(200)), Err(AccessError::Length));
        assert_eq!(check_password("jo", "aaaaaaaaaaaaaa"), Err(AccessError::Weak));
        assert_eq!(check_password("administrator", "Administrator1"), Err(AccessError::Weak));
    }

    #[test]
    fn each_role_may_what_the_ones_before_it_may() {
        assert!(Role::Auditor < Role::Operator && Role::Operator < Role::Admin);
    }
}
