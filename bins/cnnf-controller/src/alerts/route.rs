//! Which events a channel is told of.

use cnnf_core::event::EventKind;
use cnnf_core::glob::glob;
use cnnf_core::id::ServiceKey;
use cnnf_core::label::Labels;
use serde::{Deserialize, Serialize};

/// A condition on events; what is empty is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// One of these.
    pub(crate) kinds: Vec<EventKind>,
    /// Decided by one of these rules; `*` stands for anything.
    pub(crate) rules: Vec<String>,
    /// With one of these services, by key or short name; `*` stands for anything.
    pub(crate) services: Vec<String>,
    /// With a host that has all of these.
    pub(crate) labels: Labels,
}

/// What a route looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) kind: EventKind,
    /// The rule that decided.
    pub(crate) rule: Option<&'a str>,
    /// The services at its ends and the model's.
    pub(crate) services: Vec<&'a ServiceKey>,
    /// The labels of the hosts at its ends, or of its own.
    pub(crate) hosts: Vec<&'a Labels>,
}

impl Route {
    /// Whether an event is one of these.
    pub(crate) fn fits(&self, facts: &Facts<'_>) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|one| glob(one.as_bytes(), text.as_bytes()));
        let service = |key: &&ServiceKey| any(&self.services, key.as_str()) || any(&self.services, key.name());
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && (self.rules.is_empty() || facts.rule.is_some_and(|rule| any(&self.rules, rule)))
            && (self.services.is_empty() || facts.services.iter().any(service))
            && (self.labels.0.is_empty() || facts.hosts.iter().any(|labels| labels.satisfy(&self.labels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_must_all_fit_and_what_is_not_is_no_condition() {
        let (web, db) = (ServiceKey::unit("nginx"), ServiceKey::unit("postgresql@14"));
        let (prod, test): (Labels, Labels) = ("env=prod".parse().expect("labels"), "env=test".parse().expect("labels"));
        let facts = Facts {
            kind: EventKind::RulePrevent,
            rule: Some("nobody to db"),
            services: vec![&web, &db],
            hosts: vec![&test, &prod],
        };
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let route = |kinds: &[EventKind], rules: &[&str], services: &[&str], labels: &str| Route {
            kinds: kinds.to_vec(),
            rules: list(rules),
            services: list(services),
            labels: labels.parse().expect("labels"),
        };
        let prevent = [EventKind::RulePrevent, EventKind::Tamper];
        for (wanted, route) in [
            (true, route(&[], &[], &[], "")),
            (true, route(&prevent, &["* to db"], &["unit:postgresql@*"], "env=prod")),
            (true, route(&[], &[], &["nginx"], "")),
            (false, route(&[EventKind::Tamper], &[], &[], "")),
            (false, route(&prevent, &["to db"], &[], "")),
            (false, route(&[], &[], &["redis", "unit:postgres"], "")),
            (false, route(&[], &[], &[], "env=prod,site=fra")),
        ] {
            assert_eq!(route.fits(&facts), wanted, "{route:?}");
        }
        let own = Facts { kind: EventKind::Tamper, hosts: vec![&prod], ..Facts::default() };
        assert!(route(&prevent, &[], &[], "env=prod").fits(&own));
        assert!(!route(&[], &["*"], &[], "").fits(&own), "no rule has decided");
    }
}
