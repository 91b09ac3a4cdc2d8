//! Connections, from conntrack.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use cnnf_core::net::Protocol;
use cnnf_core::observation::{FlowSeen, Moment, Observation};
use cnnf_core::ruleset::Label;
use cnnf_core::time::Timestamp;
use cnnf_netlink::conntrack::{Conntrack, Events, Flow, Groups, Kind, Received, status, tcp_state};

/// Datagrams that are read before what they said is handed on.
const AT_ONCE: usize = 256;

/// Now, by the system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Listens to conntrack.
#[derive(Debug)]
pub struct Connections {
    events: Events,
}

/// Everything that lives now, each with [`Moment::Alive`] and the time at which the dump began.
///
/// # Errors
/// The dump failed.
pub fn dump() -> Result<Vec<FlowSeen>, cnnf_netlink::Error> {
    let mut seen = Vec::new();
    let at = now();
    Conntrack::open()?.dump(|flow| seen.extend(flow_seen(&flow, at)))?;
    Ok(seen)
}

/// Everything over which packets can still go, with its label: TCP connections that have not ended, and whatever else conntrack keeps. Of
/// ICMP `server_port` is the type of the request.
///
/// # Errors
/// The dump failed.
pub fn live() -> Result<Vec<FlowSeen>, cnnf_netlink::Error> {
    let mut live = Vec::new();
    let at = now();
    Conntrack::open()?.dump(|flow| {
        let ended = matches!(flow.tcp_state, Some(tcp_state::LAST_ACK | tcp_state::TIME_WAIT | tcp_state::CLOSE));
        let kind = flow.orig.icmp().map(|(kind, _)| u16::from(kind));
        let seen = flow_seen(&flow, at).filter(|_| !ended);
        live.extend(seen.map(|seen| FlowSeen { server_port: kind.unwrap_or(seen.server_port), ..seen }));
    })?;
    Ok(live)
}

impl Connections {
    /// Begins to listen. What lives already comes from [`dump`].
    ///
    /// # Errors
    /// No permission, no memory for the buffer.
    pub fn open() -> Result<Self, cnnf_netlink::Error> {
        Ok(Self { events: Events::open(Groups::ALL)? })
    }

    /// What happened since the last time. After a loss it says so once, and the caller dumps.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self) -> Result<Vec<Observation>, cnnf_netlink::Error> {
        let mut out = Vec::new();
        let mut lost = false;
        let at = now();
        for _ in 0..AT_ONCE {
            match self.events.recv(|flow| out.extend(flow_seen(&flow, at).map(Observation::Flow)))? {
                Received::Flows(_) => {}
                Received::Nothing => break,
                Received::Overrun => lost = true,
            }
        }
        if lost {
            out.push(Observation::Lost { at });
        }
        Ok(out)
    }
}

impl AsFd for Connections {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// A connection as the core sees it: the client is the original tuple's source, the server the reply tuple's. `None` without an id.
#[must_use]
pub fn flow_seen(flow: &Flow, at: Timestamp) -> Option<FlowSeen> {
    let protocol = Protocol::from_number(flow.orig.proto);
    let port = |port| if protocol.has_ports() { port } else { 0 };
    let bytes = match (flow.orig_counters, flow.reply_counters) {
        (None, None) => None,
        (there, back) => Some((there.map_or(0, |c| c.bytes), back.map_or(0, |c| c.bytes))),
    };
    Some(FlowSeen {
        at,
        id: flow.id?,
        moment: match flow.kind {
            Kind::New => Moment::New,
            Kind::Update => Moment::Alive,
            Kind::Destroy => Moment::End,
        },
        client: flow.orig.src,
        client_port: port(flow.orig.src_port),
        server: flow.reply.src,
        server_port: port(flow.reply.src_port),
        protocol,
        label: Label(flow.labels),
        replied: flow.status.is_some_and(|s| s & status::SEEN_REPLY != 0),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use cnnf_netlink::conntrack::{Counters, Tuple};

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn nat_is_undone() {
        let address = |text: &str| text.parse().expect("address");
        let flow = Flow {
            kind: Kind::New,
            orig: Tuple {
                src: address("10.0.0.1"),
                dst: address("10.96.0.1"),
                proto: 6,
                src_port: 40_000,
                dst_port: 443,
            },
            reply: Tuple {
                src: address("10.0.0.2"),
                dst: address("10.0.0.1"),
                proto: 6,
                src_port: 80,
                dst_port: 40_000,
            },
            labels: [5, 0, 0, 0],
            has_labels: true,
            others_labels: [0; 4],
            status: Some(status::SEEN_REPLY),
            id: Some(7),
            zone: 0,
            timeout: None,
            mark: None,
            orig_counters: Some(Counters { packets: 1, bytes: 60 }),
            reply_counters: Some(Counters { packets: 1, bytes: 40 }),
            tcp_state: None,
            tcp_liberal: false,
        };
        let seen = flow_seen(&flow, Timestamp(1)).expect("flow");
        assert_eq!((seen.client, seen.server, seen.server_port), (address("10.0.0.1"), address("10.0.0.2"), 80));
        assert_eq!((seen.label, seen.replied, seen.bytes), (Label([5, 0, 0, 0]), true, Some((60, 40))));
        let ping = Flow { orig: Tuple { proto: 1, ..flow.orig }, ..flow.clone() };
        assert_eq!(flow_seen(&ping, Timestamp(1)).expect("flow").server_port, 0, "an echo id is no port");
        assert_eq!(flow_seen(&Flow { id: None, ..flow }, Timestamp(1)), None);
    }

    #[test]
    fn root_a_connection_is_seen_to_begin_and_is_in_the_dump() {
        in_namespace(|| {
            let script = "add table inet t; add chain inet t o { type filter hook output priority 0; }; add rule inet t o ct state new";
            assert!(Command::new("nft").arg(script).status().expect("nft").success());
            let mut c = Connections::open().expect("open");
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let port = listener.local_addr().expect("address").port();
            let _client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
            assert!(cnnf_netlink::wait_readable(&c, Duration::from_secs(5)).expect("poll"));
            let seen = c.read().expect("read");
            let new =
                |o: &Observation| matches!(o, Observation::Flow(f) if f.moment == Moment::New && f.server_port == port);
            assert!(seen.iter().any(new), "{seen:?}");
            assert!(
                dump().expect("dump").iter().any(|f| f.server_port == port && f.moment == Moment::Alive && f.replied)
            );
        });
    }
}
