//! The chains that judge a service's connections.

use std::collections::BTreeMap;

use super::super::label::Slot;
use super::super::log::{LogPrefix, LogReason, Outcome};
use super::super::{Action, Match, Name, Rule, Set, state};
use super::peers::join;
use super::skeleton::{IN, OUT, Way};
use super::{Compiler, HOLD, QueueBackend};
use crate::id::ServiceKey;
use crate::policy::{HostPolicy, HostRule, LocalMatch, Mode, PeerMatch, Reason, Vantage};

/// The chain of services that nothing is said of, where something is said of ambiguous ones.
const FREE: &str = "free";

impl Compiler<'_> {
    pub(super) fn services(&mut self) {
        let own = self.facts.services.iter().map(|service| (service.key.clone(), service.slot));
        let ends: Vec<(ServiceKey, Slot)> = [
            (ServiceKey::kernel(), Slot::KERNEL),
            (ServiceKey::unknown(), Slot::UNKNOWN),
            (ServiceKey::ambiguous(), Slot::AMBIGUOUS),
        ]
        .into_iter()
        .chain(own)
        .collect();
        for way in [OUT, IN] {
            let mut chains = BTreeMap::new();
            for (key, slot) in &ends {
                let name = format!("{}{}", way.letter(), slot.number());
                let rules = self.judge(way, key, *slot);
                if !rules.is_empty() {
                    self.ruleset.chains.entry(name.clone()).or_default().rules = rules;
                    chains.insert(slot.word(), name);
                }
            }
            self.dispatch(way, chains, &ends);
        }
    }

    fn dispatch(&mut self, way: Way, mut chains: BTreeMap<u32, Name>, ends: &[(ServiceKey, Slot)]) {
        // a word that is no service's, such as a mixture of two, is ambiguous too
        let other = chains.remove(&Slot::AMBIGUOUS.word());
        if other.is_some() {
            let named = ends.iter().map(|(_, slot)| *slot).filter(|slot| *slot != Slot::AMBIGUOUS);
            let free: Vec<Slot> = named.filter(|slot| !chains.contains_key(&slot.word())).collect();
            if !free.is_empty() {
                self.ruleset.chains.entry(FREE.into()).or_default();
                chains.extend(free.iter().map(|slot| (slot.word(), FREE.to_owned())));
            }
        }
        let map = self.set(way.map.into(), Set::Dispatch(chains));
        self.rule(way.judge, vec![], vec![Action::Branch { word: way.word, map }], "");
        if let Some(other) = other {
            let stamped = Match::LabelWord { word: way.word, value: 0, equal: false };
            self.rule(way.judge, vec![stamped], vec![Action::Goto(other)], "ambiguous");
        }
    }

    /// The rules for one service; none if nothing can come of them.
    fn judge(&mut self, way: Way, key: &ServiceKey, slot: Slot) -> Vec<Rule> {
        let mode = self.policy.mode.min(self.policy.service_modes.get(key).copied().unwrap_or(Mode::Enforce));
        let policy = self.policy;
        let mut rules: Vec<Rule> = Vec::new();
        for entry in entries_of(policy, way).iter().filter(|entry| selects(&entry.local, key)) {
            let alternatives = self.alternatives(way, entry);
            if alternatives.is_empty() {
                continue;
            }
            let actions = match Outcome::of(entry.effect, mode).zip(LogReason::of(&entry.reason)) {
                None => vec![self.counted(way, &entry.reason).map_or(Action::Return, Action::Goto)],
                Some((outcome, reason)) => {
                    let prefix = LogPrefix { side: way.side(), slot: slot.number(), reason, outcome };
                    vec![Action::Goto(self.tell(way, prefix, &entry.reason))]
                }
            };
            let everything = alternatives.iter().any(Vec::is_empty);
            for matches in alternatives {
                rules.push(Rule { matches, actions: actions.clone(), comment: comment(&entry.reason) });
            }
            if everything {
                break;
            }
        }
        while rules.last().is_some_and(|rule| rule.actions == [Action::Return]) {
            rules.pop();
        }
        rules
    }

    /// All ways in which a connection can be one that an entry means.
    pub(super) fn alternatives(&mut self, way: Way, entry: &HostRule) -> Vec<Vec<Match>> {
        let local = match &entry.local {
            LocalMatch::Any | LocalMatch::Service(_) => None,
            LocalMatch::Addresses(group) | LocalMatch::ServiceAt(_, group) => Some(self.addresses(way.local(), *group)),
        };
        let peers: Vec<(Option<_>, Vec<Match>)> = match entry.peer {
            PeerMatch::Any => self.ports(&entry.ports, None).into_iter().map(|matches| (None, matches)).collect(),
            PeerMatch::Group(group) => {
                let peers = self.peers(way.peer(), group, &entry.ports);
                peers.into_iter().map(|(family, matches)| (Some(family), matches)).collect()
            }
        };
        let Some(local) = local else { return peers.into_iter().map(|(_, matches)| matches).collect() };
        let mut alternatives = Vec::new();
        for (family, at) in &local {
            let meets = peers.iter().filter(|(of, _)| of.is_none_or(|of| of == *family));
            alternatives.extend(meets.filter_map(|(_, peer)| join(*family, at, peer)).map(|(_, matches)| matches));
        }
        alternatives
    }

    /// The chain that counts a connection for the rule that lets it pass, once, and goes back; `None` if a model does, or nobody can count.
    fn counted(&mut self, way: Way, reason: &Reason) -> Option<Name> {
        let Action::Count(counter) = self.count(reason) else { return None };
        let chain = format!("{}_{counter}", way.letter());
        if self.ruleset.chains.contains_key(&chain) {
            return Some(chain);
        }
        let counted = way.counted();
        let was = Match::LabelBits { word: 2, mask: counted, set: true };
        self.rule(&chain, vec![was], vec![Action::Return], "");
        for matches in self.ports(&way.passes(self.facts).clone(), Some(way.failsafes)) {
            self.rule(&chain, matches, vec![Action::Return], "failsafe");
        }
        let actions = vec![Action::Count(counter), Action::SetLabel([0, 0, counted, 0])];
        self.rule(&chain, vec![], actions, &comment(reason));
        Some(chain)
    }

    /// The chain that alerts or prevents for one reason, and counts connections.
    pub(super) fn tell(&mut self, way: Way, prefix: LogPrefix, reason: &Reason) -> Name {
        let outcome = match prefix.outcome {
            Outcome::Alert => 'a',
            Outcome::Would => 'w',
            Outcome::Prevent => 'p',
        };
        let chain = format!("{}{}_{}_{outcome}", way.letter(), prefix.slot, prefix.reason);
        if self.ruleset.chains.contains_key(&chain) {
            return chain;
        }
        for matches in self.ports(&way.passes(self.facts).clone(), Some(way.failsafes)) {
            self.rule(&chain, matches, vec![Action::Return], "failsafe");
        }
        let prevent = prefix.outcome == Outcome::Prevent;
        if prevent && way.side() == Vantage::Client && self.facts.queue != QueueBackend::None {
            let first = vec![Match::StateAny(state::NEW), Match::LocalSender];
            self.rule(&chain, first, vec![Action::Jump(HOLD.into())], "");
        }
        let (alerted, prevented) = way.told();
        let flag = if prevent { prevented } else { alerted };
        let log = Action::Log { group: self.facts.log_group, prefix: prefix.to_string() };
        let count = self.count(reason);
        self.rule(
            &chain,
            vec![Match::LabelBits { word: 2, mask: flag, set: false }],
            vec![count, log, Action::SetLabel([0, 0, flag, 0])],
            &comment(reason),
        );
        if prevent {
            self.rule(&chain, vec![], vec![Action::Goto(way.deny.into())], "");
        }
        chain
    }
}

/// What judges here.
pub(super) fn entries_of(policy: &HostPolicy, way: Way) -> &[HostRule] {
    match way.side() {
        Vantage::Client => &policy.egress,
        Vantage::Server => &policy.ingress,
    }
}

/// Whether an entry is meant for every local end, by whatever name.
pub(super) fn selects_all(local: &LocalMatch) -> bool {
    matches!(local, LocalMatch::Any | LocalMatch::Addresses(_))
}

fn selects(local: &LocalMatch, key: &ServiceKey) -> bool {
    match local {
        LocalMatch::Any | LocalMatch::Addresses(_) => true,
        LocalMatch::Service(pattern) | LocalMatch::ServiceAt(pattern, _) => pattern.matches(key),
    }
}

pub(super) fn comment(reason: &Reason) -> String {
    match reason {
        Reason::Rule { name, .. } => format!("rule {name}"),
        Reason::Model(key) => format!("model {key}"),
        Reason::OtherSide => "the client's side decides".into(),
        Reason::Default => String::new(),
    }
}

impl Way {
    fn letter(self) -> char {
        match self.side() {
            Vantage::Client => 'o',
            Vantage::Server => 'i',
        }
    }
}
