//! Things an operator should see.

use std::net::IpAddr;

use crate::id::{HostId, ServiceKey};
use crate::net::Protocol;
use crate::policy::{Reason, Vantage, words};
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

use crate::net::ParseError;

words! {
    /// What an event tells of.
    EventKind {
        /// A rule let a connection pass and wants it known.
        RuleAlert = "rule_alert",
        /// A rule refused a connection.
        RulePrevent = "rule_prevent",
        /// A model objected; the connection passed.
        AnomalyAlert = "anomaly_alert",
        /// A model objected; the connection was refused.
        AnomalyPrevent = "anomaly_prevent",
        /// A rule would have refused a connection; the mode is observe.
        WouldRulePrevent = "would_rule_prevent",
        /// A model would have had a connection refused; the mode is observe.
        WouldAnomalyPrevent = "would_anomaly_prevent",
        /// A service was seen for the first time while others are active.
        NewService = "new_service",
        /// Somebody changed cnnf's table.
        Tamper = "tamper",
        /// Packets passed without a verdict.
        FailOpen = "fail_open",
        /// Observations were lost.
        Gap = "gap",
        /// A policy was undone because it was not confirmed.
        Reverted = "reverted",
        /// Two hosts claim one address.
        AddressConflict = "address_conflict",
        /// A defender has been silent.
        DefenderOffline = "defender_offline",
        /// A rule expires within a day.
        RuleExpiring = "rule_expiring",
        /// A rule has expired.
        RuleExpired = "rule_expired",
        /// Two machines use one host's identity.
        Cloned = "cloned",
    } default RuleAlert
}

/// One end of an event's connection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventParty {
    /// Its service, where known.
    pub service: Option<ServiceKey>,
    /// Its defended host, where known.
    pub host: Option<HostId>,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where the protocol has none.
    pub port: u16,
}

/// The process behind one end, as far as it could be read in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its id on its host.
    pub pid: u32,
    /// Its executable; ` (deleted)` is kept.
    pub exe: String,
    /// Its command line, arguments joined by spaces, cut at 4 KiB.
    pub cmdline: String,
    /// Its user's name, or number.
    pub user: String,
    /// Its systemd unit, with suffix.
    pub unit: String,
    /// Its control group.
    pub cgroup: String,
    /// What could not be read, and why; empty if complete.
    pub missing: String,
    /// When it started.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// SHA-256 of its executable in hexadecimal; empty if not known.
    #[serde(default)]
    pub sha256: String,
    /// Who started it: parents up to init, the nearest first.
    #[serde(default)]
    pub parents: Vec<Ancestor>,
    /// Its network namespace, by the inode number that lsns(8) shows; 0 if not known.
    #[serde(default)]
    pub network_namespace: u64,
    /// Its container, by name and id (NAME ID), or by the one that is known; empty if it is in none.
    #[serde(default)]
    pub container: String,
}

/// A process that started another one, by itself or by what it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ancestor {
    /// Its id on its host.
    pub pid: u32,
    /// Its executable, or its name where that cannot be read.
    pub program: String,
}

/// What a defender saw of one connection that its policy speaks of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ConnectionEvent {
    /// When its first packet was judged.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Who opened it.
    pub client: EventParty,
    /// Who was addressed.
    pub server: EventParty,
    /// Its protocol.
    pub protocol: Protocol,
    /// Why.
    pub reason: Reason,
    /// Which side decided.
    pub side: Vantage,
    /// The process on the deciding host's end.
    pub process: Process,
    /// How many equal connections this stands for, at least 1.
    pub count: u64,
}

/// Something of a host's own that an operator should see: [`EventKind::Tamper`], [`EventKind::FailOpen`] or [`EventKind::Reverted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// In words.
    pub message: String,
    /// Who did it, where that is known.
    pub process: Process,
    /// How often, or how many packets; at least 1.
    pub count: u64,
}
