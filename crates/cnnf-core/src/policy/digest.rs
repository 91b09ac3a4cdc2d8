//! What a host's policy says, as a number: equal numbers, equal policies.
//!
//! Both ends of the wire reckon it from the value, whatever their version, so nothing in it may depend on how a value is printed, laid out in
//! memory or written on the wire. It finds what went wrong between two ends that mean well and is no protection against somebody who seeks
//! two policies of one digest; the connection is.

use std::fmt;
use std::net::IpAddr;

use super::evaluate::Reason;
use super::host_policy::{Group, GroupEntry, HostPolicy, HostRule, LocalMatch, PeerMatch};
use super::rule::{Effect, End, Rule};
use crate::identity::Definition;
use crate::label::Labels;
use crate::net::{AddrRange, Ports, Protocol};
use crate::topology::{Edge, Peer};

/// The digest of a policy's content; its generation does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl HostPolicy {
    /// The digest of what this policy says.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let Self { generation: _, mode, service_modes, egress, ingress, groups, definitions } = self;
        let mut mixer = Mixer::default();
        mixer.text(mode.as_str());
        mixer.each(service_modes, |mixer, (key, mode)| {
            mixer.text(key.as_str());
            mixer.text(mode.as_str());
        });
        for rules in [egress, ingress] {
            mixer.each(rules, Mixer::rule);
        }
        mixer.each(groups, |mixer, (id, group)| {
            mixer.word(id.0.into());
            mixer.group(group);
        });
        mixer.each(definitions, Mixer::definition);
        mixer.finish()
    }
}

/// Two lanes of 64 bits; each step is one that can be undone, so that no two states meet by it.
pub(super) struct Mixer {
    a: u64,
    b: u64,
}

impl Default for Mixer {
    fn default() -> Self {
        // the first digits of pi's fraction
        Self { a: 0x243f_6a88_85a3_08d3, b: 0x1319_8a2e_0370_7344 }
    }
}

impl Mixer {
    pub(super) fn word(&mut self, word: u64) {
        self.a = (self.a ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.a ^= self.a >> 32;
        self.b = (self.b.rotate_left(29) ^ word).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        self.b ^= self.b >> 29;
    }

    pub(super) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for part in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.word(u64::from_le_bytes(word));
        }
    }

    pub(super) fn each<T>(
        &mut self,
        all: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mix: impl Fn(&mut Self, T),
    ) {
        let all = all.into_iter();
        self.word(all.len() as u64);
        for one in all {
            mix(self, one);
        }
    }

    pub(super) fn finish(mut self) -> Digest {
        self.word(0);
        self.word(1);
        Digest(u128::from(self.a) << 64 | u128::from(self.b))
    }

    fn rule(&mut self, rule: &HostRule) {
        let HostRule { reason, local, peer, ports, effect, on_failure } = rule;
        match reason {
            Reason::Rule { id, name, revision } => {
                self.word(1);
                self.word(id.0);
                self.text(name);
                self.word(*revision);
            }
            Reason::Model(key) => {
                self.word(2);
                self.text(key.as_str());
            }
            Reason::OtherSide => self.word(3),
            Reason::Default => self.word(4),
        }
        match local {
            LocalMatch::Any => self.word(1),
            LocalMatch::Service(pattern) => {
                self.word(2);
                self.text(&pattern.0);
            }
            LocalMatch::Addresses(group) => {
                self.word(3);
                self.word(group.0.into());
            }
            LocalMatch::ServiceAt(pattern, group) => {
                self.word(4);
                self.text(&pattern.0);
                self.word(group.0.into());
            }
        }
        self.word(match peer {
            PeerMatch::Any => 0,
            PeerMatch::Group(group) => group.0.into(),
        });
        self.ports(ports);
        self.text(effect.as_str());
        self.text(on_failure.as_str());
    }

    fn ports(&mut self, ports: &Ports) {
        match ports {
            Ports::Any => self.word(0),
            Ports::Only(ranges) => {
                self.word(1);
                self.each(ranges, |mixer, range| {
                    mixer.protocol(range.protocol);
                    mixer.word(u64::from(range.low) << 16 | u64::from(range.high));
                });
            }
        }
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.word(protocol.number(false).into());
    }

    fn group(&mut self, group: &Group) {
        self.each(group.entries.iter(), |mixer, entry| {
            let GroupEntry { addresses, own, port } = entry;
            mixer.address(addresses.low());
            mixer.address(addresses.high());
            mixer.word((*own).into());
            match port {
                None => mixer.word(0),
                Some((protocol, port)) => {
                    mixer.word(1 + u64::from(*port));
                    mixer.protocol(*protocol);
                }
            }
        });
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.word(u64::from(u32::from(a))),
            IpAddr::V6(a) => {
                self.word(u64::MAX);
                for half in u128::from(a).to_le_bytes().chunks(8) {
                    let mut word = [0; 8];
                    word[..half.len()].copy_from_slice(half);
                    self.word(u64::from_le_bytes(word));
                }
            }
        }
    }

    pub(super) fn definition(&mut self, definition: &Definition) {
        let Definition { name, units, executables, command_lines, users, ports, labels } = definition;
        self.text(name);
        for texts in [units, executables, command_lines, users] {
            self.each(texts, |mixer, text| mixer.text(text));
        }
        self.ports(ports);
        self.labels(labels);
    }

    pub(super) fn ranges(&mut self, ranges: &[AddrRange]) {
        self.each(ranges, |mixer, range| {
            mixer.address(range.low());
            mixer.address(range.high());
        });
    }

    /// What a rule says, with its effect at some time.
    pub(super) fn operators_rule(&mut self, rule: &Rule, effect: Effect) {
        let Rule { id, name, source, destination, ports, on_failure, learned_allow, revision, .. } = rule;
        self.word(id.0);
        self.text(name);
        self.word(*revision);
        for end in [source, destination] {
            match end {
                End::Any => self.word(0),
                End::Service { pattern, labels } => {
                    self.word(1);
                    self.text(&pattern.0);
                    self.labels(labels);
                }
                End::Object(name) => {
                    self.word(2);
                    self.text(name);
                }
                End::Addresses(ranges) => {
                    self.word(3);
                    self.ranges(ranges);
                }
            }
        }
        self.ports(ports);
        self.text(effect.as_str());
        self.text(on_failure.as_str());
        self.word((*learned_allow).into());
    }

    pub(super) fn edge(&mut self, edge: &Edge) {
        let Edge { client, server, protocol, port } = edge;
        for peer in [client, server] {
            match peer {
                Peer::Service(key) => {
                    self.word(0);
                    self.text(key.as_str());
                }
                Peer::Object(name) => {
                    self.word(1);
                    self.text(name);
                }
                Peer::Address(range) => {
                    self.word(2);
                    self.ranges(&[*range]);
                }
                Peer::Private => self.word(3),
                Peer::Internet => self.word(4),
            }
        }
        self.protocol(*protocol);
        self.word((*port).into());
    }

    fn labels(&mut self, labels: &Labels) {
        self.each(&labels.0, |mixer, (key, value)| {
            mixer.text(key);
            mixer.text(value);
        });
    }
}
