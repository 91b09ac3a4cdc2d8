//! Labels of hosts, and what selects them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// `key=value` pairs of a host, such as `env=prod`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// Whether every pair of `wanted` is here; an empty `wanted` selects everything.
    #[must_use]
    pub fn satisfy(&self, wanted: &Self) -> bool {
        wanted.0.iter().all(|(key, value)| self.0.get(key) == Some(value))
    }

    /// These and `others`; of two pairs with one key that of `others`.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        self
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (key, value)) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            write!(f, "{key}={value}")?;
        }
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = String;

    /// Parses `a=b,c=d`; the empty text is no labels.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| format!("label '{pair}' is not KEY=VALUE"))?;
            labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_select_by_all_pairs() {
        let host: Labels = "env=prod,site=fra".parse().expect("labels");
        assert!(host.satisfy(&"env=prod".parse().expect("labels")));
        assert!(host.satisfy(&Labels::default()));
        assert!(!host.satisfy(&"env=prod,site=ams".parse().expect("labels")));
        assert_eq!(host.to_string(), "env=prod,site=fra");
        assert!("env".parse::<Labels>().is_err());
        let both = host.with(&"site=ams,rack=1".parse().expect("labels"));
        assert_eq!(both.to_string(), "env=prod,rack=1,site=ams");
    }
}
