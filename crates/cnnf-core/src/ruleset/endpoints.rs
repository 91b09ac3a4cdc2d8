//! Many endpoints, shared and compared cheaply.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::net::Protocol;

/// An exact address, protocol and port.
pub type Endpoint = (IpAddr, Protocol, u16);

/// Endpoints, sorted and without doubles.
///
/// There can be a million. A clone shares them, and what two of these differ in is found in one pass over both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(Arc<Vec<Endpoint>>);

impl Endpoints {
    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, endpoint: &Endpoint) -> bool {
        self.0.binary_search(endpoint).is_ok()
    }

    /// Those that `others` do not have.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        if others.is_empty() {
            return self.clone();
        }
        if Arc::ptr_eq(&self.0, &others.0) {
            return Self::default();
        }
        let mut others = others.iter().peekable();
        let rest = self.iter().filter(|one| {
            while others.next_if(|other| other < one).is_some() {}
            others.peek() != Some(one)
        });
        // they are in order already
        Self(Arc::new(rest.copied().collect()))
    }
}

impl Deref for Endpoints {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.0
    }
}

impl FromIterator<Endpoint> for Endpoints {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(all: I) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        // stable, as that is one pass over what is in order already
        all.sort();
        all.dedup();
        Self(Arc::new(all))
    }
}

impl<const N: usize> From<[Endpoint; N]> for Endpoints {
    fn from(all: [Endpoint; N]) -> Self {
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_set(a in prop::collection::vec(0_u8..30, 0..40), b in prop::collection::vec(0_u8..30, 0..40)) {
            let endpoint = |n: &u8| (IpAddr::from([10, 0, 0, n / 2]), Protocol::Tcp, u16::from(n % 2));
            let [few, more] = [&a, &b].map(|numbers| numbers.iter().map(endpoint).collect::<Endpoints>());
            let [known, others] = [&a, &b].map(|numbers| numbers.iter().map(endpoint).collect::<BTreeSet<_>>());
            prop_assert_eq!(few.to_vec(), known.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(few.without(&more).to_vec(), known.difference(&others).copied().collect::<Vec<_>>());
            prop_assert!(few.without(&few.clone()).is_empty());
            for endpoint in (0..30).map(|n| endpoint(&n)) {
                prop_assert_eq!(few.contains(&endpoint), known.contains(&endpoint));
            }
        }
    }
}
