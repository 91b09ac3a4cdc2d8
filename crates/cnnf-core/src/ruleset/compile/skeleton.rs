//! The chains that every host has: stamping, sealing, dispatching, and what refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::super::label::{Flags, Slot};
use super::super::{Action, Chain, Family, Hook, Match, Set, Side, state};
use super::{Compiler, EVIDENCE, HOLD, HostFacts, PASSED, PENDING, QueueBackend};
use crate::net::{Ports, Protocol};
use crate::policy::Vantage;

const RST: u8 = 0x04;
/// FIN, SYN, RST and ACK of a TCP header's flags (RFC 9293); a bare SYN opens a connection.
const OPENING: u8 = 0x17;
const SYN: u8 = 0x02;

/// Events that a connection reports: `IPCT_NEW`, `RELATED`, `DESTROY`, `REPLY` and `LABEL` of `enum ip_conntrack_events`. The others
/// (assured, protocol state, …) would cost more messages a connection than all of these.
const EVENTS: u32 = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 10;

/// Copies for evidence wait at most so often; the rest is refused without.
const HOLD_RATE: u32 = 100;
/// A fail-open queue holds at most this many (promise 2); more would only wait behind them.
const HOLD_BURST: u32 = 64;

/// One of the two hooks, with the names that belong to it.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) base: &'static str,
    hook: Hook,
    late: &'static str,
    /// Where first packets go in the late chain.
    first: &'static str,
    stamp: &'static str,
    ask: &'static str,
    related: &'static str,
    /// The label word that is written here.
    pub(super) word: u8,
    pub(super) deny: &'static str,
    /// Where first packets are refused whose owner nobody could tell.
    pub(super) closed: &'static str,
    pub(super) failsafes: &'static str,
    pub(super) judge: &'static str,
    pub(super) map: &'static str,
}

pub(super) const OUT: Way = Way {
    base: "out",
    hook: Hook::Output,
    late: "late_out",
    first: "first_out",
    stamp: "stamp_out",
    ask: "ask_out",
    related: "related_out",
    word: 0,
    deny: "deny_out",
    closed: "closed_out",
    failsafes: "failsafe_out",
    judge: "egress",
    map: "clients",
};

pub(super) const IN: Way = Way {
    base: "in",
    hook: Hook::Input,
    late: "late_in",
    first: "first_in",
    stamp: "stamp_in",
    ask: "ask_in",
    related: "related_in",
    word: 1,
    deny: "deny_in",
    closed: "closed_in",
    failsafes: "failsafe_in",
    judge: "ingress",
    map: "servers",
};

impl Compiler<'_> {
    pub(super) fn skeleton(&mut self) {
        for (family, name) in [Family::V4, Family::V6].into_iter().zip(PENDING) {
            self.set(name.to_owned(), Set::Pending(family));
        }
        for (family, name) in [Family::V4, Family::V6].into_iter().zip(EVIDENCE) {
            self.set(name.to_owned(), Set::Flows(family));
        }
        let cgroups: BTreeMap<u64, u32> = self
            .facts
            .services
            .iter()
            .flat_map(|service| service.cgroups.iter().map(|id| (*id, service.slot.word())))
            .collect();
        self.set("cgroups".into(), Set::Cgroups(cgroups));
        self.answers();
        self.untracked();
        for way in [OUT, IN] {
            self.base(way);
            self.stamp(way);
            self.late(way);
            self.deny(way);
        }
        if self.facts.queue != QueueBackend::None {
            self.hold();
        }
        self.rule("fail_open", vec![], vec![Action::Counter, Action::Accept], PASSED);
    }

    fn base(&mut self, way: Way) {
        let epoch = 1_u32 << (self.facts.epoch & 31);
        self.ruleset.chains.insert(way.base.into(), Chain { base: Some((way.hook, -5)), rules: Vec::new() });
        let sealed = Match::LabelBits { word: 3, mask: epoch, set: true };
        self.rule(way.base, vec![sealed], vec![Action::Accept], "judged and answered under this policy");
        for (state, action) in [
            (state::UNTRACKED, Action::Goto("untracked".into())),
            (state::NEW, Action::Jump(way.stamp.into())),
            (state::RELATED, Action::Jump(way.related.into())),
        ] {
            self.rule(way.base, vec![Match::StateAny(state)], vec![action], "");
        }
        for judge in [OUT.judge, IN.judge] {
            self.rule(way.base, vec![], vec![Action::Jump(judge.into())], "");
        }
        let seal = Action::SetLabel([0, 0, 0, epoch]);
        self.rule(way.base, vec![Match::StateAny(state::ESTABLISHED)], vec![seal], "");
        self.rule(way.related, vec![], vec![Action::Jump("answers".into())], "");
        self.rule(way.related, vec![], vec![Action::Goto(way.stamp.into())], "a helper's expected flow is never new");
    }

    /// Our own resets and every ICMP error ride on the flow that they answer; judged like it, a reject would never arrive.
    fn answers(&mut self) {
        for m in [
            Match::Protocol(Family::V4, Protocol::Icmp),
            Match::Protocol(Family::V6, Protocol::Icmp),
            Match::TcpFlags { mask: RST, value: RST, equal: true },
        ] {
            self.rule("answers", vec![m], vec![Action::Accept], "");
        }
    }

    /// What somebody exempts from conntrack has no label and is not judged. conntrack itself exempts neighbour discovery.
    fn untracked(&mut self) {
        let discovery = Match::Protocol(Family::V6, Protocol::Icmp);
        self.rule("untracked", vec![discovery], vec![Action::Accept], "");
        self.rule("untracked", vec![], vec![Action::Counter, Action::Accept], "not tracked, so not judged");
    }

    /// Writes who is at this end into the label, once: nft can only OR.
    fn stamp(&mut self, way: Way) {
        let Way { stamp, ask, word, .. } = way;
        let midstream = || vec![Action::SetLabel([0, 0, Flags::MIDSTREAM, 0]), Action::Counter, Action::Return];
        self.rule(stamp, vec![Match::LabelWord { word, value: 0, equal: false }], vec![Action::Return], "");
        self.rule(stamp, vec![], vec![Action::SetEvents(EVENTS)], "");
        let no_opening = Match::TcpFlags { mask: OPENING, value: SYN, equal: false };
        self.rule(stamp, vec![no_opening], midstream(), "taken up mid-stream: nobody knows who opened it");
        if way.hook == Hook::Output && !self.facts.udp_ports.is_empty() {
            let ports: BTreeSet<(u8, u16)> = self.facts.udp_ports.iter().map(|port| (17, *port)).collect();
            let set = self.set("udp_ports".into(), Set::Ports(ports));
            let from = Match::PacketUdpPort { source: true, set: set.clone(), inside: true };
            let to = Match::PacketUdpPort { source: false, set, inside: false };
            self.rule(stamp, vec![from, to], midstream(), "a server that goes on, not a client");
        }
        for level in (1..=self.facts.cgroup_levels).rev() {
            let by_cgroup = Action::StampCgroup { level, map: "cgroups".into(), word };
            self.rule(stamp, vec![], vec![by_cgroup, Action::Return], "");
        }
        for (family, map) in [Family::V4, Family::V6].into_iter().zip(PENDING) {
            let by_flow = Action::StampFlow { family, map: map.into() };
            self.rule(stamp, vec![], vec![by_flow, Action::Return], "");
        }
        self.rule(stamp, vec![Match::Socket], vec![Action::Goto(ask.into())], "");
        self.rule(stamp, vec![], vec![self.write(way, Slot::KERNEL), Action::Return], "no process");
        if self.facts.queue == QueueBackend::None {
            if self.is_closed(way) {
                self.rule(ask, vec![], vec![Action::Jump(way.closed.into())], "");
            }
            self.rule(ask, vec![], vec![Action::Counter, self.write(way, Slot::UNKNOWN)], "");
        } else {
            let (number, among) = (self.facts.identify_queue, self.facts.identify_queues);
            let queue = Action::Queue { number, among, bypass: true };
            self.rule(ask, vec![], vec![Action::Counter, queue], "user space finds out whose it is");
        }
    }

    fn write(&self, way: Way, slot: Slot) -> Action {
        let mut words = [0; 4];
        words[usize::from(way.word)] = slot.word();
        Action::SetLabel(words)
    }

    /// What a queue let go without a label comes by here: bypass, overflow, or a plain accept. So does every other packet, and most are no
    /// connection's first: they cost one look at their state.
    fn late(&mut self, way: Way) {
        let Way { late, first, .. } = way;
        self.ruleset.chains.insert(late.into(), Chain { base: Some((way.hook, -4)), rules: Vec::new() });
        let may_be_bare = Match::StateAny(state::NEW | state::RELATED);
        self.rule(late, vec![may_be_bare], vec![Action::Goto(first.into())], "");
        let related = Match::StateAny(state::RELATED);
        self.rule(first, vec![related], vec![Action::Jump("answers".into())], "");
        let bare = || {
            let unstamped = Match::LabelWord { word: way.word, value: 0, equal: true };
            // the other flags may be those of the connection's other half
            vec![unstamped, Match::LabelBits { word: 2, mask: Flags::MIDSTREAM, set: false }]
        };
        if self.is_closed(way) {
            self.rule(first, bare(), vec![Action::Jump(way.closed.into())], "");
        }
        self.rule(first, bare(), vec![Action::Goto("fail_open".into())], "");
    }

    fn deny(&mut self, way: Way) {
        for matches in self.ports(&way.passes(self.facts).clone(), Some(way.failsafes)) {
            self.rule(way.deny, matches, vec![Action::Counter, Action::Accept], "failsafe");
        }
        let tcp = Match::TcpFlags { mask: 0, value: 0, equal: true };
        self.rule(way.deny, vec![Match::LocalSender, tcp], vec![Action::Counter, Action::RejectTcp], "");
        self.rule(way.deny, vec![Match::LocalSender], vec![Action::Counter, Action::Reject], "");
        self.rule(way.deny, vec![], vec![Action::Counter, Action::Drop], "");
    }

    /// A packet that will be refused may wait for evidence: it is lost anyway.
    fn hold(&mut self) {
        for (family, set) in [Family::V4, Family::V6].into_iter().zip(EVIDENCE) {
            self.rule(HOLD, vec![Match::Flow { family, set: set.into() }], vec![Action::Return], "");
        }
        let few = Match::Limit { rate: HOLD_RATE, burst: HOLD_BURST };
        let queue = Action::Queue { number: self.facts.evidence_queue, among: 1, bypass: false };
        self.rule(HOLD, vec![few], vec![queue], "for evidence");
    }
}

impl Way {
    /// Which end is local to what is judged here.
    pub(super) fn side(self) -> Vantage {
        match self.hook {
            Hook::Output => Vantage::Client,
            Hook::Input => Vantage::Server,
        }
    }

    /// Server ports that always pass here.
    pub(super) fn passes(self, facts: &HostFacts) -> &Ports {
        match self.hook {
            Hook::Output => &facts.failsafes.egress,
            Hook::Input => &facts.failsafes.ingress,
        }
    }

    /// Which end's address the other one is, seen from here.
    pub(super) fn peer(self) -> Side {
        match self.hook {
            Hook::Output => Side::Server,
            Hook::Input => Side::Client,
        }
    }

    /// Which end's address the local one is.
    pub(super) fn local(self) -> Side {
        match self.hook {
            Hook::Output => Side::Client,
            Hook::Input => Side::Server,
        }
    }

    /// The flag that says that it was counted for the rule that let it pass.
    pub(super) fn counted(self) -> u32 {
        match self.hook {
            Hook::Output => Flags::COUNTED_OUT,
            Hook::Input => Flags::COUNTED_IN,
        }
    }

    /// Flags that say that it was told of: alerted, prevented.
    pub(super) fn told(self) -> (u32, u32) {
        match self.hook {
            Hook::Output => (Flags::ALERTED_OUT, Flags::PREVENTED_OUT),
            Hook::Input => (Flags::ALERTED_IN, Flags::PREVENTED_IN),
        }
    }
}
