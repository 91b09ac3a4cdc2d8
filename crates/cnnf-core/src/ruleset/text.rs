//! The stable text form of a table, close to what `nft list` prints; for snapshots and for people.

use std::fmt;

use super::{Action, Chain, Family, Hook, Match, Rule, Ruleset, Set, Side, state};

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, set) in &self.sets {
            write!(f, "set {name} {set}")?;
        }
        for name in &self.counters {
            writeln!(f, "counter {name}")?;
        }
        for (name, chain) in &self.chains {
            write!(f, "chain {name} {chain}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, elements): (String, Vec<String>) = match self {
            Self::Addresses(family, ranges) => {
                (format!("addresses {family}"), ranges.iter().map(ToString::to_string).collect())
            }
            Self::Endpoints(family, all) => {
                (format!("endpoints {family}"), all.iter().map(|(a, p, n)| format!("{a} {p}/{n}")).collect())
            }
            Self::Ports(ports) => ("ports".into(), ports.iter().map(|(p, n)| format!("{p}/{n}")).collect()),
            Self::Cgroups(map) => {
                ("cgroups".into(), map.iter().map(|(id, word)| format!("{id}: {word:#010x}")).collect())
            }
            Self::Dispatch(map) => {
                ("dispatch".into(), map.iter().map(|(word, chain)| format!("{word:#010x}: {chain}")).collect())
            }
            Self::Pending(family) => (format!("pending {family}"), Vec::new()),
            Self::Flows(family) => (format!("flows {family}"), Vec::new()),
        };
        writeln!(f, "{kind} {{ {} }}", elements.join(", "))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Some((Hook::Output, priority)) => writeln!(f, "hook output {priority} {{")?,
            Some((Hook::Input, priority)) => writeln!(f, "hook input {priority} {{")?,
            None => writeln!(f, "{{")?,
        }
        for rule in &self.rules {
            writeln!(f, "  {rule}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matches = self.matches.iter().map(ToString::to_string);
        let actions = self.actions.iter().map(ToString::to_string);
        let comment = (!self.comment.is_empty()).then(|| format!("# {}", self.comment.replace(char::is_control, "?")));
        let words: Vec<String> = matches.chain(actions).chain(comment).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

fn sign(equal: bool) -> &'static str {
    if equal { "==" } else { "!=" }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateAny(bits) => {
                let names = [
                    (state::INVALID, "invalid"),
                    (state::ESTABLISHED, "established"),
                    (state::RELATED, "related"),
                    (state::NEW, "new"),
                    (state::UNTRACKED, "untracked"),
                ];
                let named: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
                write!(f, "state {}", named.join(","))
            }
            Self::Protocol(family, protocol) => write!(f, "{family} {protocol}"),
            Self::IcmpType(family, kind) => write!(f, "{family} icmp/{kind}"),
            Self::TcpFlags { mask: 0, value: 0, equal: true } => f.write_str("tcp"),
            Self::TcpFlags { mask, value, equal } => write!(f, "tcp flags & {mask:#x} {} {value:#x}", sign(*equal)),
            Self::LabelWord { word, value, equal } => write!(f, "label[{word}] {} {value:#x}", sign(*equal)),
            Self::LabelBits { word, mask, set } => write!(f, "label[{word}] & {mask:#x} {} 0", sign(!*set)),
            Self::Address { side, family, set } => write!(f, "{family} {side} @{set}"),
            Self::Endpoint { side, family, set } => write!(f, "{family} {side} . port @{set}"),
            Self::Port { set } => write!(f, "port @{set}"),
            Self::PortRange { protocol, low, high } if low == high => write!(f, "port {protocol}/{low}"),
            Self::PortRange { protocol, low, high } => write!(f, "port {protocol}/{low}-{high}"),
            Self::PacketUdpPort { source, set, inside } => {
                let end = if *source { "sport" } else { "dport" };
                write!(f, "udp {end} {}@{set}", if *inside { "" } else { "!= " })
            }
            Self::Socket => f.write_str("socket"),
            Self::LocalSender => f.write_str("local sender"),
            Self::Flow { family, set } => write!(f, "{family} flow @{set}"),
            Self::Limit { rate, burst } => write!(f, "limit {rate}/s burst {burst}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter => f.write_str("counter"),
            Self::Count(name) => write!(f, "counter {name}"),
            Self::Log { group, prefix } => write!(f, "log group {group} \"{prefix}\""),
            Self::Queue { number, among, bypass } => {
                write!(f, "queue {number}")?;
                if *among > 1 {
                    write!(f, "-{} by processor", number + (among - 1))?;
                }
                f.write_str(if *bypass { " bypass" } else { "" })
            }
            Self::SetLabel(words) => {
                write!(f, "label |= {:#x}:{:#x}:{:#x}:{:#x}", words[0], words[1], words[2], words[3])
            }
            Self::StampCgroup { level, map, word } => write!(f, "label[{word}] |= cgroup level {level} @{map}"),
            Self::StampFlow { family, map } => write!(f, "label |= {family} flow @{map}"),
            Self::SetEvents(bits) => write!(f, "events {bits:#x}"),
            Self::Branch { word, map } => write!(f, "goto label[{word}] @{map}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Return => f.write_str("return"),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::RejectTcp => f.write_str("reject tcp reset"),
            Self::Reject => f.write_str("reject admin-prohibited"),
        }
    }
}
