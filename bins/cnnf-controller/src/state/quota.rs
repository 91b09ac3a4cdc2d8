//! What one host may bring: so that one that is wrong, or not its owner's any more, takes neither memory nor time from the others.
//!
//! Records and events beyond are not taken in, and counted; a report with none left is acknowledged all the same, as it would be no better
//! a second time. Bytes beyond wait: the stream is read more slowly, and its host's spool grows instead of our memory.

use std::collections::BTreeMap;
use std::time::Duration;

use cnnf_core::time::Timestamp;
use cnnf_store::Inventory;

/// How much a second for long, and how much at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: f64,
    at_once: f64,
}

/// A defender sends a record a flow and ten seconds at most; what a spool holds after an outage comes at once.
const FLOWS: Rate = Rate { per_second: 2_000.0, at_once: 1_000_000.0 };
/// Connections that are alerted of or refused, folded by the defender.
const EVENTS: Rate = Rate { per_second: 200.0, at_once: 20_000.0 };
/// As encoded.
const BYTES: Rate = Rate { per_second: (4 << 20) as f64, at_once: (64 << 20) as f64 };
/// Services of a host,
const SERVICES: usize = 2_000;
/// and ports that these listen on.
const ENDPOINTS: usize = 20_000;
/// How often it is told at most that something is not taken.
const TELL: Duration = Duration::from_secs(60);

/// What a host has left.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    flows: Bucket,
    events: Bucket,
    bytes: Bucket,
    /// What was not taken in since the controller's start, by a counter's name.
    refused: BTreeMap<&'static str, u64>,
    told: Option<Timestamp>,
    /// Not taken since it was told.
    untold: u64,
}

#[derive(Debug, Default)]
struct Bucket {
    used: f64,
    at: Timestamp,
}

impl Bucket {
    fn used(&mut self, rate: Rate, now: Timestamp) -> f64 {
        let gone = now.since(self.at).as_secs_f64() * rate.per_second;
        self.used = (self.used - gone).max(0.0);
        self.at = self.at.max(now);
        self.used
    }

    /// How many of `wanted` are left; takes them.
    fn take(&mut self, rate: Rate, wanted: usize, now: Timestamp) -> usize {
        let left = (rate.at_once - self.used(rate, now)).max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
        let taken = wanted.min(left as usize);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let used = taken as f64;
        self.used += used;
        taken
    }
}

impl Quota {
    /// Counters as `defenders show` and the metrics have them.
    pub(crate) fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// Leaves as many flow records as may be taken in.
    pub(crate) fn flows<T>(&mut self, records: &mut Vec<T>, now: Timestamp) {
        let left = self.flows.take(FLOWS, records.len(), now);
        self.cut("refused_flows", records, left);
    }

    /// Leaves as many events as may be taken in.
    pub(crate) fn events<T>(&mut self, events: &mut Vec<T>, now: Timestamp) {
        let left = self.events.take(EVENTS, events.len(), now);
        self.cut("refused_events", events, left);
    }

    /// Whether one event that stands for itself may be taken in.
    pub(crate) fn event(&mut self, now: Timestamp) -> bool {
        let mut one = vec![()];
        self.events(&mut one, now);
        !one.is_empty()
    }

    /// Leaves as many services and endpoints as a host may have, the same ones each time.
    pub(crate) fn inventory(&mut self, inventory: &mut Inventory) {
        let (mut services, mut endpoints) = (0, 0);
        let (mut more_services, mut more_endpoints) = (0, 0);
        inventory.instances.retain(|_, instance| {
            services += 1;
            if services > SERVICES {
                more_services += 1;
                return false;
            }
            let left = ENDPOINTS - endpoints;
            if instance.endpoints.len() > left {
                more_endpoints += instance.endpoints.len() - left;
                instance.endpoints = std::mem::take(&mut instance.endpoints).into_iter().take(left).collect();
            }
            endpoints += instance.endpoints.len();
            true
        });
        self.count("refused_services", more_services);
        self.count("refused_endpoints", more_endpoints);
    }

    /// Counts the bytes of a message; how long to wait before the next one is read.
    pub(crate) fn bytes(&mut self, size: usize, now: Timestamp) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let used = self.bytes.used(BYTES, now) + size as f64;
        self.bytes.used = used;
        let wait = Duration::from_secs_f64((used - BYTES.at_once).max(0.0) / BYTES.per_second);
        if !wait.is_zero() {
            *self.refused.entry("slowed_ms").or_default() += u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        }
        wait
    }

    /// How many were not taken since this was asked with an answer, at most once a minute.
    pub(crate) fn tell(&mut self, now: Timestamp) -> Option<u64> {
        if self.untold == 0 || self.told.is_some_and(|told| now.since(told) < TELL) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    fn cut<T>(&mut self, counter: &'static str, all: &mut Vec<T>, left: usize) {
        self.count(counter, all.len() - left);
        all.truncate(left);
    }

    fn count(&mut self, counter: &'static str, more: usize) {
        if more > 0 {
            let more = more as u64;
            *self.refused.entry(counter).or_default() += more;
            self.untold = self.untold.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::directory::{Endpoint, Instance};
    use cnnf_core::id::ServiceKey;
    use cnnf_core::net::Protocol;

    use super::*;

    const START: u64 = 1_000_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp(START + ms)
    }

    #[test]
    fn a_backlog_comes_at_once_and_then_so_many_a_second() {
        let mut quota = Quota::default();
        let mut taken = 0;
        for ms in 0..10_000 {
            let mut records = vec![(); 1000];
            quota.flows(&mut records, at(ms));
            taken += records.len();
        }
        let most = 1_000_000 + 10 * 2_000;
        assert!((most - 2_000..=most).contains(&taken), "{taken}");
        assert_eq!(quota.refused()["refused_flows"], 10_000_000 - taken as u64);
        assert_eq!(quota.tell(at(0)), Some(10_000_000 - taken as u64));
        assert_eq!(quota.tell(at(1)), None);
        let mut records = vec![(); 1_000_000];
        quota.flows(&mut records, at(3_600_000));
        assert_eq!(records.len(), 1_000_000, "after an hour all is forgiven");
        assert!(quota.event(at(3_600_000)), "one is not the other");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut quota = Quota::default();
        quota.flows(&mut vec![(); 1_000_000], at(5000));
        for ms in [0, 5000, 0, 5000] {
            let mut records = vec![(); 10];
            quota.flows(&mut records, at(ms));
            assert!(records.is_empty());
        }
    }

    #[test]
    fn an_inventory_keeps_the_same_part() {
        let mut inventory = Inventory::default();
        for n in 0..3_000u16 {
            let endpoints =
                (0..20).map(|port| Endpoint { protocol: Protocol::Tcp, address: None, port: 1 + port }).collect();
            let instance = Instance { endpoints, live: true, ..Instance::default() };
            inventory.instances.insert(ServiceKey::unit(&format!("s{n:05}")), instance);
        }
        let (mut quota, whole) = (Quota::default(), inventory.clone());
        quota.inventory(&mut inventory);
        assert_eq!(inventory.instances.len(), SERVICES);
        assert_eq!(inventory.instances.values().map(|one| one.endpoints.len()).sum::<usize>(), ENDPOINTS);
        assert_eq!((quota.refused()["refused_services"], quota.refused()["refused_endpoints"]), (1000, 20_000));
        let mut again = whole;
        Quota::default().inventory(&mut again);
        assert_eq!(again, inventory);
    }

    #[test]
    fn bytes_wait() {
        let mut quota = Quota::default();
        let waits: Vec<_> = (0..20).map(|_| quota.bytes(4 << 20, at(0))).collect();
        assert!(waits[..16].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[16], Duration::from_secs(1));
        assert!(quota.refused()["slowed_ms"] >= 1000);
        assert_eq!(quota.bytes(1, at(60_000)), Duration::ZERO);
    }
}
