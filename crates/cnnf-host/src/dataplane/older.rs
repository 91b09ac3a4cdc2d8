//! Connections that the table has not seen begin: those that are older than it, and those that conntrack took up mid-stream. The kernel stamps
//! first packets only, so nobody would ever judge them.
//!
//! Their stamp is written by conntrack's netlink. An entry that was made before any rule used labels has no room for one, and one that was taken up
//! with a packet of the server's has the wrong client: such an entry is deleted and made again, the right way round, which takes some 100 µs. A
//! packet that comes in between makes one too, and it is tried again. Entries with translated addresses are never made again.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use cnnf_core::net::Protocol;
use cnnf_core::ruleset::{Flags, Label, Slot};
use cnnf_netlink::Error;
use cnnf_netlink::conntrack::{Conntrack, Entry, Flow, Tuple, status, tcp_state};

/// What the kernel says of an entry without room for a label.
const NO_ROOM: i32 = rustix::io::Errno::NOSPC.raw_os_error();
/// How often an entry is made again because a packet was quicker.
const ATTEMPTS: u32 = 8;
/// Seconds that an entry stays if no packet comes, where the old one did not say (`nf_conntrack_udp_timeout_stream`).
const TIMEOUT: u32 = 120;

/// What can be looked up of this host.
pub struct Look<'a> {
    /// Whether an address is its own.
    pub is_here: &'a dyn Fn(IpAddr) -> bool,
    /// Whether somebody waits for connections at the first, own address; the second is who connects.
    pub listens: &'a mut dyn FnMut(Protocol, SocketAddr, IpAddr) -> bool,
    /// The ports that the kernel gives to clients.
    pub client_ports: RangeInclusive<u16>,
}

/// A connection that nobody has stamped.
#[derive(Clone, Debug)]
pub struct Older {
    /// Its protocol: TCP or UDP.
    pub protocol: Protocol,
    /// Who opened it.
    pub client: SocketAddr,
    /// Who was addressed.
    pub server: SocketAddr,
    /// Whether conntrack has it the other way round.
    turned: bool,
    flow: Flow,
}

/// Finds and stamps them.
#[derive(Debug)]
pub struct OlderConnections {
    conntrack: Conntrack,
}

impl OlderConnections {
    /// Opens it, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { conntrack: Conntrack::open()? })
    }

    /// All that live now, and how many are of this host but nobody can tell who opened them.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn all(&mut self, look: &mut Look<'_>) -> Result<(Vec<Older>, usize), Error> {
        let mut flows = Vec::new();
        self.conntrack.dump(|flow| {
            if is_older(&flow) {
                flows.push(flow);
            }
        })?;
        let (mut found, mut unclear) = (Vec::new(), 0);
        for flow in flows {
            match older(flow, look) {
                Opened::By(older) => found.push(*older),
                Opened::Unclear => unclear += 1,
                Opened::Elsewhere => {}
            }
        }
        Ok((found, unclear))
    }

    /// The one between these two, whoever opened it; `None` if it is gone, or stamped, or nobody can tell who did.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn between(
        &mut self,
        protocol: Protocol,
        one: SocketAddr,
        other: SocketAddr,
        look: &mut Look<'_>,
    ) -> Result<Option<Older>, Error> {
        let tuple = Tuple {
            src: one.ip(),
            dst: other.ip(),
            proto: protocol.number(one.is_ipv6()),
            src_port: one.port(),
            dst_port: other.port(),
        };
        let found = self.conntrack.get(&tuple, 0)?.filter(is_older).map(|flow| older(flow, look));
        Ok(if let Some(Opened::By(older)) = found { Some(*older) } else { None })
    }

    /// Says who is at its ends, as far as they are here. Its next packet is judged. False if that cannot be said of it: it is gone, or its addresses
    /// are translated and there is no room.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn stamp(&mut self, older: &Older, client: Option<Slot>, server: Option<Slot>) -> Result<bool, Error> {
        let [client, server] = [client, server].map(|slot| slot.map_or(0, Slot::word));
        let unsure = if older.flow.tcp_liberal || older.turned { Flags::MIDSTREAM } else { 0 };
        let label = [client, server, Flags::RESOLVED | unsure, 0];
        let Flow { orig, zone, .. } = older.flow;
        if !older.turned {
            match self.conntrack.set_labels(&orig, zone, label, [u32::MAX; 4]) {
                Err(error) if error.errno() == Some(NO_ROOM) => {}
                result => return result,
            }
        }
        if older.flow.status.is_none_or(|s| s & (status::SRC_NAT | status::DST_NAT | status::EXPECTED) != 0) {
            return Ok(false);
        }
        self.make_again(older, label)
    }

    fn make_again(&mut self, older: &Older, labels: [u32; 4]) -> Result<bool, Error> {
        let Flow { orig, zone, id, .. } = older.flow;
        let has = |bit| older.flow.status.is_some_and(|s| s & bit != 0);
        let entry = Entry {
            orig: if older.turned { reverse(&orig) } else { orig },
            zone,
            replied: has(status::SEEN_REPLY),
            assured: has(status::ASSURED),
            timeout: older.flow.timeout.unwrap_or(TIMEOUT),
            mark: older.flow.mark.unwrap_or(0),
            tcp_state: older.flow.tcp_state,
            labels,
            others_labels: older.flow.others_labels,
        };
        if !self.conntrack.delete(&orig, zone, id)? {
            // it has ended, or somebody else has made another one
            return Ok(false);
        }
        for _ in 0..ATTEMPTS {
            if self.conntrack.create(&entry)? {
                return Ok(true);
            }
            // a packet was quicker
            if let Some(taken_up) = self.conntrack.get(&entry.orig, zone)? {
                if taken_up.orig == entry.orig {
                    return self.conntrack.set_labels(&entry.orig, zone, labels, [u32::MAX; 4]);
                }
                self.conntrack.delete(&taken_up.orig, zone, taken_up.id)?;
            }
        }
        Ok(false)
    }

    /// Takes the seal off one that was stamped a moment ago: a packet that was on its way while it was stamped may have put one there without
    /// judging it.
    ///
    /// # Errors
    /// The kernel's words.
    pub fn unseal(&mut self, older: &Older) -> Result<(), Error> {
        let orig = if older.turned { reverse(&older.flow.orig) } else { older.flow.orig };
        self.conntrack.set_labels(&orig, older.flow.zone, [0; 4], [0, 0, 0, u32::MAX]).map(drop)
    }
}

/// Whether nobody has stamped a connection that goes on. One half of one that was taken up mid-stream may have a stamp, of the wrong end.
fn is_older(flow: &Flow) -> bool {
    let label = Label(flow.labels);
    let goes_on = match Protocol::from_number(flow.orig.proto) {
        Protocol::Tcp => {
            matches!(flow.tcp_state, Some(tcp_state::ESTABLISHED | tcp_state::FIN_WAIT | tcp_state::CLOSE_WAIT))
        }
        Protocol::Udp => true,
        _ => false,
    };
    let one_to_one = ![flow.orig.dst, flow.reply.src].iter().any(|a| a.is_multicast() || is_link_local(*a));
    let unstamped = label.0[..2] == [0; 2] || label.has(Flags::MIDSTREAM);
    goes_on && one_to_one && unstamped && !label.has(Flags::RESOLVED)
}

/// Their sockets are found by interface too, and conntrack does not say which.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}

enum Opened {
    By(Box<Older>),
    /// Neither end is here.
    Elsewhere,
    /// Nobody can tell.
    Unclear,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    is_here: bool,
    listens: bool,
    has_client_port: bool,
}

fn older(flow: Flow, look: &mut Look<'_>) -> Opened {
    let protocol = Protocol::from_number(flow.orig.proto);
    let from = SocketAddr::new(flow.orig.src, flow.orig.src_port);
    let to = SocketAddr::new(flow.reply.src, flow.reply.src_port);
    let mut end = |local: SocketAddr, remote: SocketAddr| {
        let (is_here, has_client_port) = ((look.is_here)(local.ip()), look.client_ports.contains(&local.port()));
        // clients' UDP sockets may have no peer either
        let may_listen = is_here && !(protocol == Protocol::Udp && has_client_port);
        End { is_here, listens: may_listen && (look.listens)(protocol, local, remote.ip()), has_client_port }
    };
    let (a, b) = (end(from, to), end(to, from));
    if !a.is_here && !b.is_here {
        return Opened::Elsewhere;
    }
    let turned = match protocol {
        Protocol::Udp => Some(a.listens && !b.listens && from.port() != to.port()),
        _ if !flow.tcp_liberal => Some(false),
        _ => opened_by_second(a, b),
    };
    let Some(turned) = turned else { return Opened::Unclear };
    let (client, server) = if turned { (to, from) } else { (from, to) };
    Opened::By(Box::new(Older { protocol, client, server, turned, flow }))
}

/// Which end of a TCP connection of which only later packets were seen has opened it: not the one at which somebody listens. Where nobody does,
/// it is the end here, if that has a port of clients and the other end is elsewhere.
fn opened_by_second(first: End, second: End) -> Option<bool> {
    match (first.listens, second.listens) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) => None,
        (false, false) => match (first.is_here, second.is_here) {
            (true, false) => first.has_client_port.then_some(false),
            (false, true) => second.has_client_port.then_some(true),
            _ => None,
        },
    }
}

fn reverse(tuple: &Tuple) -> Tuple {
    let Tuple { src, dst, proto, src_port, dst_port } = *tuple;
    Tuple { src: dst, dst: src, proto, src_port: dst_port, dst_port: src_port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_has_not_opened_it() {
        let away = End::default();
        let listener = End { is_here: true, listens: true, has_client_port: false };
        let client = End { is_here: true, listens: false, has_client_port: true };
        let silent = End { has_client_port: false, ..client };
        for (first, second, want) in [
            (client, listener, Some(false)),
            (listener, client, Some(true)),
            (away, listener, Some(false)),
            (listener, away, Some(true)),
            (client, away, Some(false)),
            (away, client, Some(true)),
            // its listener may be gone
            (silent, away, None),
            (away, silent, None),
            (client, client, None),
            (listener, listener, None),
        ] {
            assert_eq!(opened_by_second(first, second), want, "{first:?} {second:?}");
        }
    }
}
