//! Which live connections another table would cut.

use super::interpret::{FlowState, Packet, Verdict, interpret};
use super::label::Label;
use super::{Hook, Ruleset, state};
use crate::observation::FlowSeen;

/// Those of `live` that `now` lets pass and `then` would refuse at their next packet, in either direction.
///
/// Of ICMP `server_port` is the type of the request here. What carries no stamp of a service is nobody's and is not cut.
pub fn cut<'a>(now: &Ruleset, then: &Ruleset, live: &'a [FlowSeen]) -> impl Iterator<Item = &'a FlowSeen> {
    live.iter().filter(move |flow| passes(now, flow) && !passes(then, flow))
}

/// Whether a table lets the next packets of a connection pass that it has not judged yet.
fn passes(table: &Ruleset, flow: &FlowSeen) -> bool {
    let [client, server, flags, _] = flow.label.0;
    let ends = [
        (client, false, Hook::Output),
        (client, true, Hook::Input),
        (server, false, Hook::Input),
        (server, true, Hook::Output),
    ];
    ends.iter().filter(|(word, ..)| *word != 0).all(|(_, reply, hook)| {
        let packet = Packet {
            client: flow.client,
            server: flow.server,
            protocol: flow.protocol,
            client_port: flow.client_port,
            server_port: flow.server_port,
            reply: *reply,
            state: state::ESTABLISHED,
            tcp_flags: ACK,
            socket: None,
            local_sender: *hook == Hook::Output || (client != 0 && server != 0),
        };
        // a new epoch: no table has sealed it
        let mut at = FlowState { label: Label([client, server, flags, 0]), ..FlowState::default() };
        interpret(table, *hook, &packet, &mut at).verdict == Verdict::Accept
    })
}

/// Of a TCP header's flags (RFC 9293).
const ACK: u8 = 0x10;
