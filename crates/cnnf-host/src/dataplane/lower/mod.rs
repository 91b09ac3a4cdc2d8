//! How each part of a ruleset becomes nft objects.
//!
//! The ends of a connection come from conntrack, never from the packet: the client is the original tuple's source, the server the reply
//! tuple's source, so NAT is undone and both directions of a flow look the same.

mod expressions;

use std::net::IpAddr;

use cnnf_core::net::AddrRange;
use cnnf_core::ruleset::{Family, Hook, QueueBackend, Rule, Set};
use cnnf_netlink::conntrack::Place;
use cnnf_netlink::nft::{self, BaseHook, Batch, DataType, Element, Layout, SetSpec, Verdict};

use super::plan::Operation;

/// The longest comment that fits into a rule's user data.
const COMMENT_MAX: usize = 125;

/// Appends an operation to a batch.
pub(crate) fn operation(batch: &mut Batch, operation: &Operation, queue: QueueBackend) {
    match operation {
        Operation::AddChain(name, base) => batch.add_chain(name, base.map(base_hook)),
        Operation::FlushChain(name) => batch.flush_chain(name),
        Operation::AddRule(name, rule) => add_rule(batch, name, rule, queue),
        Operation::DeleteChain(name) => batch.delete_chain(name),
        Operation::AddSet(name, set) => batch.add_set(&set_spec(name, set)),
        Operation::AddElements(name, set) => batch.add_elements(name, elements(set)),
        Operation::DeleteElements(name, set) => batch.delete_elements(name, elements(set)),
        Operation::DeleteSet(name) => batch.delete_set(name),
        Operation::AddCounter(name) => batch.add_counter(name),
        Operation::DeleteCounter(name) => batch.delete_counter(name),
    }
}

fn add_rule(batch: &mut Batch, chain: &str, rule: &Rule, queue: QueueBackend) {
    let mut end = rule.comment.len().min(COMMENT_MAX);
    while !rule.comment.is_char_boundary(end) {
        end -= 1;
    }
    let comment = Some(&rule.comment[..end]).filter(|comment| !comment.is_empty());
    batch.add_rule(chain, &expressions::of_rule(rule, queue), comment);
}

pub(crate) fn base_hook((hook, priority): (Hook, i32)) -> BaseHook {
    let hook = match hook {
        Hook::Output => nft::Hook::Output,
        Hook::Input => nft::Hook::Input,
    };
    BaseHook { hook, priority }
}

fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::IPV4,
        Family::V6 => DataType::IPV6,
    }
}

fn flow_layout(family: Family) -> Layout {
    let address = address_type(family);
    [address, address, DataType::PROTOCOL, DataType::PORT, DataType::PORT].into()
}

pub(crate) fn set_spec(name: &str, set: &Set) -> SetSpec {
    match set {
        Set::Addresses(family, _) => SetSpec::set(name, address_type(*family)).with_intervals(),
        Set::Endpoints(family, _) => SetSpec::set(name, [address_type(*family), DataType::PROTOCOL, DataType::PORT]),
        Set::Ports(_) => SetSpec::set(name, [DataType::PROTOCOL, DataType::PORT]),
        // two words and not a cgroup: what `nft list` prints of a cgroup loads only while its path exists
        Set::Cgroups(_) => SetSpec::map(name, [DataType::WORD, DataType::WORD], DataType::WORD),
        Set::Dispatch(_) => SetSpec::vmap(name, DataType::WORD),
        Set::Pending(family) => SetSpec::map(name, flow_layout(*family), DataType::LABEL).with_timeouts(),
        Set::Flows(family) => SetSpec::set(name, flow_layout(*family)).with_timeouts(),
    }
}

/// One after the other: there can be a hundred thousand, and each is a heap object.
pub(crate) fn elements(set: &Set) -> Box<dyn Iterator<Item = Element> + '_> {
    match set {
        Set::Addresses(_, ranges) => Box::new(ranges.iter().flat_map(|range| interval(*range))),
        Set::Endpoints(family, endpoints) => Box::new(endpoints.iter().map(|(address, protocol, port)| {
            let mut key = octets(*address);
            key.extend(port_key(protocol.number(*family == Family::V6), *port));
            Element::key(key)
        })),
        Set::Ports(ports) => Box::new(ports.iter().map(|(protocol, port)| Element::key(port_key(*protocol, *port)))),
        Set::Cgroups(map) => Box::new(map.iter().map(|(id, word)| Element::map(id.to_ne_bytes(), word.to_ne_bytes()))),
        Set::Dispatch(map) => {
            Box::new(map.iter().map(|(word, chain)| Element::vmap(word.to_ne_bytes(), Verdict::Goto(chain.clone()))))
        }
        Set::Pending(_) | Set::Flows(_) => Box::new(std::iter::empty()),
    }
}

fn interval(range: AddrRange) -> Vec<Element> {
    Element::range(octets(range.low()), octets(range.high()), nft::Value::None)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// A protocol and a port as they lie in registers: each padded to four bytes.
fn port_key(protocol: u8, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol, 0, 0, 0, high, low, 0, 0]
}

/// The key of a connection's original tuple in a [`Set::Pending`] or [`Set::Flows`].
pub(crate) fn flow_key(client: IpAddr, server: IpAddr, protocol: u8, client_port: u16, server_port: u16) -> Vec<u8> {
    let mut key = octets(client);
    key.extend(octets(server));
    key.extend([protocol, 0, 0, 0]);
    for port in [client_port, server_port] {
        let [high, low] = port.to_be_bytes();
        key.extend([high, low, 0, 0]);
    }
    key
}

/// A label as it lies in registers.
pub(crate) fn label_bytes(words: [u32; 4]) -> Vec<u8> {
    Place::current().to_kernel(words).iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests;
