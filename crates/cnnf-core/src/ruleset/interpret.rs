//! Runs a packet through a ruleset, as the kernel would.
//!
//! Follows `nft_do_chain` (net/netfilter/nf_tables_core.c): a rule's matches and actions in order, the first that fails ends the rule;
//! a jump comes back to the next rule, a goto to where the last jump came from; accept ends one base chain, anything else that is final
//! ends the hook.

use std::net::IpAddr;

use super::compile::HOLD;
use super::label::{Label, Slot};
use super::log::LogPrefix;
use super::{Action, Family, Hook, Match, Name, Rule, Ruleset, Set, Side, state};
use crate::net::Protocol;

/// A packet, with what conntrack knows of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The client: the original tuple's source.
    pub client: IpAddr,
    /// The server: the reply tuple's source.
    pub server: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's port.
    pub client_port: u16,
    /// The server's port; of ICMP the type of the request that opened the connection; 0 where the protocol has neither.
    pub server_port: u16,
    /// Whether the packet goes from server to client.
    pub reply: bool,
    /// Its [`state`] bit.
    pub state: u32,
    /// A TCP packet's flags.
    pub tcp_flags: u8,
    /// The cgroups of its local socket from the first level down; `None` without a local socket.
    pub socket: Option<Vec<u64>>,
    /// Whether it was sent on this host.
    pub local_sender: bool,
}

/// What the kernel and user space keep for a connection between its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    /// Its label.
    pub label: Label,
    /// Its element in the pending maps.
    pub pending: Option<Label>,
    /// Whether it is in the sets of gathered evidence.
    pub evidence: bool,
    /// Whether limits are used up.
    pub over_limit: bool,
    /// Whether nobody listens at the queues.
    pub nobody_listens: bool,
}

/// What becomes of a packet at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It is dropped.
    Drop,
    /// It is dropped and answered with a TCP reset.
    RejectTcp,
    /// It is dropped and answered "administratively prohibited".
    Reject,
    /// It waits for user space in this queue.
    Queue(u16),
}

/// What a packet did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What became of it.
    pub verdict: Verdict,
    /// Prefixes of the copies that were logged.
    pub logs: Vec<String>,
    /// The table's counters that counted it.
    pub counted: Vec<Name>,
    /// Chains it came through, in order.
    pub chains: Vec<Name>,
    /// The chain whose rule was final; `None` if it fell off the end of all base chains.
    pub by: Option<Name>,
}

/// How a chain ends.
enum End {
    /// By its last rule or by return.
    Through,
    /// By accept: the base chain is over.
    Accepted,
    /// Finally.
    Final(Verdict, Name),
}

/// Runs `packet` through the base chains of `hook`. `flow` is written to as the kernel would write the label.
///
/// A chain or set that a rule names and that is not there matches nothing; the kernel would refuse such a table.
#[must_use]
pub fn interpret(ruleset: &Ruleset, hook: Hook, packet: &Packet, flow: &mut FlowState) -> Trace {
    let mut bases: Vec<(i32, &Name)> = ruleset
        .chains
        .iter()
        .filter_map(|(name, chain)| chain.base.filter(|(at, _)| *at == hook).map(|(_, priority)| (priority, name)))
        .collect();
    bases.sort_unstable();
    let mut run = Run { ruleset, packet, flow, logs: Vec::new(), counted: Vec::new(), chains: Vec::new() };
    for (_, base) in bases {
        if let End::Final(verdict, by) = run.chain(base) {
            return Trace { verdict, logs: run.logs, counted: run.counted, chains: run.chains, by: Some(by) };
        }
    }
    Trace { verdict: Verdict::Accept, logs: run.logs, counted: run.counted, chains: run.chains, by: None }
}

struct Run<'a> {
    ruleset: &'a Ruleset,
    packet: &'a Packet,
    flow: &'a mut FlowState,
    logs: Vec<String>,
    counted: Vec<Name>,
    chains: Vec<Name>,
}

/// What a rule does to its chain.
enum Step {
    Next,
    Jump(Name),
    Goto(Name),
    Return,
    End(End),
}

impl Run<'_> {
    fn chain(&mut self, name: &Name) -> End {
        self.chains.push(name.clone());
        let Some(chain) = self.ruleset.chains.get(name) else { return End::Through };
        for rule in &chain.rules {
            match self.rule(name, rule) {
                Step::Next => {}
                Step::Jump(to) => match self.chain(&to) {
                    End::Through => {}
                    end => return end,
                },
                Step::Goto(to) => return self.chain(&to),
                Step::Return => return End::Through,
                Step::End(end) => return end,
            }
        }
        End::Through
    }

    fn rule(&mut self, chain: &Name, rule: &Rule) -> Step {
        if !rule.matches.iter().all(|m| self.holds(m)) {
            return Step::Next;
        }
        for action in &rule.actions {
            let end = |verdict| Step::End(End::Final(verdict, chain.clone()));
            match action {
                Action::Counter | Action::SetEvents(_) => {}
                Action::Count(name) => self.counted.push(name.clone()),
                Action::Log { prefix, .. } => self.logs.push(prefix.clone()),
                Action::Queue { bypass: true, .. } if self.flow.nobody_listens => return Step::End(End::Accepted),
                Action::Queue { .. } if self.flow.nobody_listens => return end(Verdict::Drop),
                Action::Queue { number, .. } => return end(Verdict::Queue(*number)),
                Action::SetLabel(words) => self.or(Label(*words)),
                Action::StampCgroup { level, map, word } => match self.cgroup(*level, map) {
                    Some(found) => {
                        let mut words = [0; 4];
                        words[usize::from(*word)] = found;
                        self.or(Label(words));
                    }
                    None => return Step::Next,
                },
                Action::StampFlow { family, .. } => match self.flow.pending.filter(|_| self.family() == *family) {
                    Some(label) => self.or(label),
                    None => return Step::Next,
                },
                Action::Branch { word, map } => {
                    let label = self.flow.label.0[usize::from(*word)];
                    if let Some(Set::Dispatch(map)) = self.ruleset.sets.get(map)
                        && let Some(to) = map.get(&label)
                    {
                        return Step::Goto(to.clone());
                    }
                    return Step::Next;
                }
                Action::Jump(to) => return Step::Jump(to.clone()),
                Action::Goto(to) => return Step::Goto(to.clone()),
                Action::Return => return Step::Return,
                Action::Accept => return Step::End(End::Accepted),
                Action::Drop => return end(Verdict::Drop),
                Action::RejectTcp => return end(Verdict::RejectTcp),
                Action::Reject => return end(Verdict::Reject),
            }
        }
        Step::Next
    }

    fn or(&mut self, label: Label) {
        self.flow.label = self.flow.label | label;
    }

    fn cgroup(&self, level: u8, map: &Name) -> Option<u32> {
        let id = self.packet.socket.as_ref()?.get(usize::from(level).checked_sub(1)?)?;
        match self.ruleset.sets.get(map)? {
            Set::Cgroups(map) => map.get(id).copied(),
            _ => None,
        }
    }

    fn family(&self) -> Family {
        Family::of(self.packet.client)
    }

    fn address(&self, side: Side) -> IpAddr {
        match side {
            Side::Client => self.packet.client,
            Side::Server => self.packet.server,
        }
    }

    fn holds(&self, m: &Match) -> bool {
        let packet = self.packet;
        // conntrack's fields are there only for packets that it tracks
        let tracked = packet.state & (state::INVALID | state::UNTRACKED) == 0;
        let number = packet.protocol.number(packet.client.is_ipv6());
        match m {
            Match::StateAny(bits) => packet.state & bits != 0,
            Match::Protocol(family, protocol) => self.family() == *family && packet.protocol == *protocol,
            Match::IcmpType(family, kind) => {
                tracked
                    && self.family() == *family
                    && packet.protocol == Protocol::Icmp
                    && packet.server_port == u16::from(*kind)
            }
            Match::TcpFlags { mask, value, equal } => {
                packet.protocol == Protocol::Tcp && (packet.tcp_flags & mask == *value) == *equal
            }
            Match::LabelWord { word, value, equal } => {
                tracked && (self.flow.label.0[usize::from(*word)] == *value) == *equal
            }
            Match::LabelBits { word, mask, set } => {
                tracked && (self.flow.label.0[usize::from(*word)] & mask != 0) == *set
            }
            Match::Address { side, family, set } => {
                tracked
                    && self.family() == *family
                    && matches!(self.ruleset.sets.get(set), Some(Set::Addresses(of, ranges))
                        if of == family && ranges.iter().any(|r| r.contains(self.address(*side))))
            }
            Match::Endpoint { side, family, set } => {
                let key = (self.address(*side), packet.protocol, packet.server_port);
                tracked
                    && self.family() == *family
                    && packet.protocol.has_ports()
                    && matches!(self.ruleset.sets.get(set), Some(Set::Endpoints(of, all))
                        if of == family && all.contains(&key))
            }
            Match::Port { set } => {
                tracked && packet.protocol.has_ports() && self.has_port(set, (number, packet.server_port))
            }
            Match::PortRange { protocol, low, high } => {
                tracked && packet.protocol == *protocol && (*low..=*high).contains(&packet.server_port)
            }
            Match::PacketUdpPort { source, set, inside } => {
                let port = if *source == packet.reply { packet.server_port } else { packet.client_port };
                packet.protocol == Protocol::Udp && self.has_port(set, (17, port)) == *inside
            }
            Match::Socket => packet.socket.is_some(),
            Match::LocalSender => packet.local_sender,
            Match::Flow { family, .. } => tracked && self.family() == *family && self.flow.evidence,
            Match::Limit { .. } => !self.flow.over_limit,
        }
    }

    fn has_port(&self, set: &Name, key: (u8, u16)) -> bool {
        matches!(self.ruleset.sets.get(set), Some(Set::Ports(ports)) if ports.contains(&key))
    }
}

/// A connection that is opened, with what this host has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who opens it.
    pub client: IpAddr,
    /// Who is addressed.
    pub server: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's port.
    pub client_port: u16,
    /// The server's port, or the type of an ICMP request; 0 where the protocol has neither.
    pub server_port: u16,
    /// The end of a local client.
    pub local_client: Option<LocalEnd>,
    /// The end of a local server.
    pub local_server: Option<LocalEnd>,
}

/// An end on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEnd {
    /// The cgroups of its socket from the first level down; `None` without a socket.
    pub cgroups: Option<Vec<u64>>,
    /// What user space finds out if the kernel does not know the cgroup.
    pub found: Slot,
}

/// What became of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// What became of its first packet, or of the reply if the first passed; never a queue.
    pub verdict: Verdict,
    /// What was logged.
    pub logs: Vec<LogPrefix>,
    /// The table's counters that counted it, once for each time.
    pub counted: Vec<Name>,
    /// The label in the end.
    pub label: Label,
}

/// Opens a connection on this host's hooks: its first packet and the reply, with user space answering at the queues.
#[must_use]
pub fn judge_connection(ruleset: &Ruleset, opening: &Opening, flow: &mut FlowState) -> Outcomes {
    let ends = [
        (false, Hook::Output, &opening.local_client),
        (false, Hook::Input, &opening.local_server),
        (true, Hook::Output, &opening.local_server),
        (true, Hook::Input, &opening.local_client),
    ];
    let (mut logs, mut counted) = (Vec::new(), Vec::new());
    for (reply, hook, end) in ends {
        let Some(end) = end else { continue };
        let packet = Packet {
            client: opening.client,
            server: opening.server,
            protocol: opening.protocol,
            client_port: opening.client_port,
            server_port: opening.server_port,
            reply,
            state: if reply { state::ESTABLISHED } else { state::NEW },
            tcp_flags: if reply { 0x12 } else { 0x02 },
            socket: end.cgroups.clone(),
            local_sender: hook == Hook::Output || (opening.local_client.is_some() && opening.local_server.is_some()),
        };
        // each queue is asked once at most: what it answers is found when the packet comes again
        for _ in 0..3 {
            let trace = interpret(ruleset, hook, &packet, flow);
            logs.extend(trace.logs.iter().filter_map(|prefix| prefix.parse::<LogPrefix>().ok()));
            counted.extend(trace.counted);
            match trace.verdict {
                Verdict::Accept => break,
                Verdict::Queue(_) if trace.by.as_deref() == Some(HOLD) => flow.evidence = true,
                Verdict::Queue(_) => {
                    let word = end.found.word();
                    flow.pending = Some(Label(if hook == Hook::Output { [word, 0, 0, 0] } else { [0, word, 0, 0] }));
                }
                verdict => return Outcomes { verdict, logs, counted, label: flow.label },
            }
        }
        flow.pending = None;
    }
    Outcomes { verdict: Verdict::Accept, logs, counted, label: flow.label }
}
