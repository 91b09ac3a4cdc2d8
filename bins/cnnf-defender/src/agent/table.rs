//! The table that is wanted, and when connections have to be judged again under it.

use std::sync::Arc;

use cnnf_core::net::Protocol;
use cnnf_core::ruleset::{HostFacts, compile};
use cnnf_host::dataplane::epoch;
use cnnf_host::dataplane::plan::{plan, rejudges};

use super::{Agent, EVIDENCE_QUEUE, Effect, IDENTIFY_QUEUE, LOG_GROUP};

impl Agent {
    /// What the table is made of besides the policy.
    pub(crate) fn facts(&self) -> HostFacts {
        let udp_ports = self
            .resolver
            .endpoints()
            .flat_map(|(_, endpoints)| endpoints)
            .filter(|e| e.protocol == Protocol::Udp)
            // one in another network namespace is no port of ours
            .filter(|e| e.address.is_none_or(|a| a.is_unspecified() || self.resolver.is_local(a)))
            .map(|e| e.port)
            .chain(self.udp_ports.iter().copied())
            .collect();
        HostFacts {
            services: self.resolver.services(),
            cgroup_levels: if self.stamps { self.levels } else { 0 },
            queue: self.queue,
            failsafes: self.failsafes.clone(),
            addresses: self.own.clone(),
            udp_ports,
            epoch: epoch::bit(self.epochs),
            log_group: LOG_GROUP,
            identify_queue: IDENTIFY_QUEUE,
            identify_queues: self.queues,
            evidence_queue: EVIDENCE_QUEUE,
            counters: self.counters,
        }
    }

    pub(super) fn keep_stamps(&mut self, effects: &mut Vec<Effect>) {
        self.kept = self.resolver.slots().count();
        effects.push(Effect::KeepStamps { epochs: self.epochs });
    }

    /// Makes the table anew; true if it is another one.
    pub(super) fn rebuild(&mut self, effects: &mut Vec<Effect>) -> bool {
        if self.released || !self.begun {
            return false;
        }
        self.levels = self.levels.max(self.resolver.levels());
        let facts = self.facts();
        let mut table = compile(&self.policy, &facts);
        let were_numbered = self.numbered.clone();
        self.numbered.extend(facts.services.iter().map(|service| service.slot.word()));
        match &self.table {
            Some(known) if **known == table => return false,
            Some(known) if !rejudges(&plan(known, &table), |word| were_numbered.contains(&word)) => {}
            _ => {
                // connections that were judged before have to be judged again by their next packet
                self.epochs = self.epochs.wrapping_add(1);
                if self.epochs >= epoch::EPOCHS {
                    effects.push(Effect::ClearEpoch(epoch::bit(self.epochs)));
                }
                table = compile(&self.policy, &self.facts());
            }
        }
        self.keep_stamps(effects);
        let table = Arc::new(table);
        self.table = Some(table.clone());
        effects.push(Effect::Table(table));
        true
    }
}
