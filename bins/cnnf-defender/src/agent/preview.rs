//! Which live connections another policy would cut.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cnnf_core::flow::{FlowKey, FlowRecord, FlowStats};
use cnnf_core::id::ServiceKey;
use cnnf_core::observation::FlowSeen;
use cnnf_core::policy::HostPolicy;
use cnnf_core::ruleset::{HostFacts, Ruleset, Slot, compile, cut};
use cnnf_rpc::{limits, v1};

use super::Agent;

/// A question, with all that its answer needs but the connections: it is answered beside the agent, as packets wait for that.
#[derive(Debug, PartialEq)]
pub(crate) struct Preview {
    number: u64,
    policy: HostPolicy,
    facts: HostFacts,
    /// The table in force.
    table: Option<Arc<Ruleset>>,
}

impl Agent {
    pub(super) fn preview(&self, number: u64, policy: HostPolicy) -> Preview {
        Preview { number, policy, facts: self.facts(), table: self.table.clone() }
    }
}

impl Preview {
    /// The answer, from all connections that live (see [`cut`]) or why they cannot be listed.
    pub(crate) fn answer(&self, live: Result<Vec<FlowSeen>, String>) -> v1::PreviewAnswer {
        let nothing = v1::PreviewAnswer { number: self.number, ..v1::PreviewAnswer::default() };
        let (table, live) = match (&self.table, live) {
            // released, or not begun
            (None, _) => return nothing,
            (_, Err(error)) => return v1::PreviewAnswer { error, ..nothing },
            (Some(table), Ok(live)) => (table, live),
        };
        let then = compile(&self.policy, &self.facts);
        let known = self.facts.services.iter().map(|service| (service.slot, &service.key));
        let (kernel, unknown, ambiguous) = (ServiceKey::kernel(), ServiceKey::unknown(), ServiceKey::ambiguous());
        let others = [(Slot::KERNEL, &kernel), (Slot::UNKNOWN, &unknown), (Slot::AMBIGUOUS, &ambiguous)];
        let names: BTreeMap<Slot, &ServiceKey> = known.chain(others).collect();
        // a slot that nobody has any more was somebody's
        let name = |slot: Option<Slot>| slot.map(|slot| (*names.get(&slot).unwrap_or(&&unknown)).clone());
        let mut by_key: HashMap<FlowKey, FlowStats> = HashMap::new();
        let mut connections = 0;
        for flow in cut(table, &then, &live) {
            connections += 1;
            let key = FlowKey {
                client_service: name(flow.label.client()),
                client: flow.client,
                server_service: name(flow.label.server()),
                server: flow.server,
                protocol: flow.protocol,
                port: if flow.protocol.has_ports() { flow.server_port } else { 0 },
            };
            let one = FlowStats { connections: 1, bytes: 0, first: flow.at, last: flow.at };
            by_key.entry(key).and_modify(|known| known.merge(&one)).or_insert(one);
        }
        let mut records: Vec<FlowRecord> = by_key.into_iter().map(|(key, stats)| FlowRecord { key, stats }).collect();
        records.sort_by(|a, b| b.stats.connections.cmp(&a.stats.connections).then_with(|| a.key.cmp(&b.key)));
        records.truncate(limits::MAX_FLOWS);
        v1::PreviewAnswer { connections, cut: records.iter().map(Into::into).collect(), ..nothing }
    }
}
