//! How a connection would be judged, and why.

use std::net::{IpAddr, Ipv4Addr};

use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::net::{Ports, Protocol, icmp};
use cnnf_core::policy::{Connection, Considered, Party, Reason, Trail, Vantage, deciding, evaluate_trail};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::event::side_text;
use cnnf_rpc::v1;
use tonic::Status;

use crate::clock::now;
use crate::state::State;

/// Stands for an address that is not known (RFC 5737).
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// An end as it is asked for.
enum Asked {
    Service(ServiceKey),
    Address(IpAddr),
}

/// Judges by the same function as everything else.
pub(super) fn explain(state: &State, request: &v1::ExplainRequest) -> Result<v1::ExplainResponse, Status> {
    let from = asked(state, "from", &request.from)?;
    let to = asked(state, "to", &request.to)?;
    let wanted_host = match request.host.as_str() {
        "" => None,
        name => Some(state.host_named(name).cloned().ok_or_else(|| {
            let name: String = name.escape_debug().take(80).collect();
            Status::not_found(format!("there is no host '{name}': 'cnnfctl defenders list' shows them"))
        })?),
    };
    let mut steps = Vec::new();
    let server = party(state, &to, None, None, &mut steps);
    let client = party(state, &from, wanted_host.as_ref(), Some(server.address), &mut steps);
    let (protocol, port) = port(&request.port, client.address.is_ipv6())?;
    let connection = Connection { client, server, protocol, port };
    let (side, trail, host) = judge(state, &connection);
    for step in &trail.steps {
        let what = match &step.what {
            Considered::Rule { id, name, effect } => format!("rule {} '{name}' ({effect})", id.0),
            Considered::Learned(key) => format!("the model of {key} knows the edge"),
            Considered::Model(key) => format!("the active model of {key} knows the edge"),
        };
        steps.push(v1::ExplainStep { what, matched: step.matched });
    }
    let local = match side {
        Vantage::Client => &connection.client,
        Vantage::Server => &connection.server,
    };
    let mode = host.as_ref().and_then(|id| state.directory.host(id)).map(|host| {
        let mode = state.policy.mode_of(host.mode, local.service.as_ref());
        mode.to_string()
    });
    let (rule, model) = match &trail.decision.reason {
        Reason::Rule { name, .. } => (name.clone(), String::new()),
        Reason::Model(key) => (String::new(), key.to_string()),
        Reason::OtherSide | Reason::Default => (String::new(), String::new()),
    };
    Ok(v1::ExplainResponse {
        effect: trail.decision.effect.to_string(),
        rule,
        model,
        side: if host.is_some() { side_text(side).to_owned() } else { String::new() },
        host: host.as_ref().map(|id| state.host_name(id)).unwrap_or_default(),
        mode: mode.unwrap_or_default(),
        steps,
    })
}

fn judge(state: &State, connection: &Connection) -> (Vantage, Trail, Option<HostId>) {
    let at = now();
    let trail = |side| evaluate_trail(&state.policy, &state.directory, connection, side, at);
    let (side, trail) = deciding(connection, trail, |trail| trail.decision.effect);
    let host = match side {
        Vantage::Client => &connection.client.host,
        Vantage::Server => &connection.server.host,
    };
    (side, trail, host.clone())
}

/// An address, a key, also of a service that is yet to come, or the short name of one that is known.
fn asked(state: &State, field: &str, text: &str) -> Result<Asked, Status> {
    if let Ok(address) = text.parse() {
        return Ok(Asked::Address(address));
    }
    match text.parse() {
        Ok(key) => Ok(Asked::Service(key)),
        Err(_) => state.snapshot().service(field, text).map(Asked::Service),
    }
}

fn party(
    state: &State,
    asked: &Asked,
    wanted: Option<&HostId>,
    like: Option<IpAddr>,
    steps: &mut Vec<v1::ExplainStep>,
) -> Party {
    let directory = &state.directory;
    match asked {
        Asked::Address(address) => {
            Party { host: directory.host_of(*address).map(|(id, _)| id.clone()), service: None, address: *address }
        }
        Asked::Service(key) => {
            let has = |id: &&HostId| directory.host(id).is_some_and(|host| host.instances.contains_key(key));
            let all: Vec<&HostId> = directory.ids().filter(has).collect();
            let host = wanted.or_else(|| all.first().copied());
            if let Some(id) = host
                && all.len() > 1
            {
                let what = format!("{key} is on {} hosts; taken on {}", all.len(), state.host_name(id));
                steps.push(v1::ExplainStep { what, matched: true });
            }
            let addresses = host.and_then(|id| directory.host(id)).map(|host| &host.addresses);
            let same_family = |address: &&IpAddr| like.is_none_or(|like| like.is_ipv4() == address.is_ipv4());
            let address = addresses.and_then(|all| all.iter().find(same_family).or_else(|| all.first())).copied();
            Party { host: host.cloned(), service: Some(key.clone()), address: address.unwrap_or(NOWHERE) }
        }
    }
}

/// A protocol and port; of ICMP the type, a ping's if it is not said, where `v6` says of which.
fn port(text: &str, v6: bool) -> Result<(Protocol, u16), Status> {
    let bad = |message: String| Status::from(ConvertError::new("port", message));
    let (protocol, port) = text.split_once('/').map_or((text, None), |(protocol, port)| (protocol, Some(port)));
    let protocol: Protocol = protocol.parse().map_err(|error| bad(format!("{error}")))?;
    match port {
        Some(port) if protocol.has_ports() => {
            let number = port.parse().map_err(|_| {
                bad(format!("'{}' is not a port: a port is a number from 0 to 65535", port.escape_debug()))
            })?;
            Ok((protocol, number))
        }
        None if protocol == Protocol::Icmp => Ok((protocol, icmp::echo_request(v6))),
        Some(_) if protocol == Protocol::Icmp => {
            let Ports::Only(kinds) = Ports::parse(&[text]).map_err(|error| bad(format!("{error}")))? else {
                return Err(bad("write one type, such as icmp/echo-request".into()));
            };
            let kind = kinds.iter().map(|range| range.low).find(|kind| icmp::is_v6(*kind) == v6);
            let other = || bad(format!("'{text}' is of the other address family than the ends"));
            Ok((protocol, kind.ok_or_else(other)?))
        }
        None if !protocol.has_ports() => Ok((protocol, 0)),
        Some(_) => Err(bad(format!("{protocol} has no ports: write '{protocol}'"))),
        None => Err(bad(format!("write a port too, such as {protocol}/443"))),
    }
}
