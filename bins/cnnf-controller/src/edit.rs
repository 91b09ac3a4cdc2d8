//! Changes that operators make: checked, stored, then in force.

mod channel;
mod confirm;
mod definition;
mod fleet;
mod model;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::identity::Definition;
use cnnf_core::policy::{AddressObject, Delta, Mode, Placed, PolicySet, Rule, RuleError, RuleId};
use cnnf_rpc::convert::policy::{NameError, resolve_among};
use cnnf_rpc::convert::{self, ConvertError};
use cnnf_store::{Audit, Author, MAX_AUDIT_TEXT, NewEvent, PolicyState, Unconfirmed};
use serde_json::{Value, json};
use tonic::Status;

pub(crate) use channel::{ChannelChange, no_channel};
pub(crate) use definition::Change;

use crate::auth::Caller;
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};
use crate::state::{Snapshot, State, Waiting};

pub(crate) use model::{Deed, EDGE, WHY, no_model};

/// Who changes rules and objects, and the beginning of what is recorded of it.
pub(crate) struct By {
    pub(crate) author: Author,
    /// Without what it was before and is after.
    pub(crate) record: Audit,
}

/// Bytes of rules and objects that the record of a change shows, as they were and as they are.
const MOST_RECORDED: usize = MAX_AUDIT_TEXT / 2;

/// The record of a change of rules and objects. One of a single rule or object is on that, others on the revision; of many rules it shows
/// the first, and says how many it leaves out: the revision has them all.
fn of_delta(record: Audit, delta: &Delta, revision: u64) -> Audit {
    let text = |value: Value| if value.is_null() { String::new() } else { value.to_string() };
    let (subject, before, after) = match (&delta.rules[..], &delta.objects[..]) {
        ([one], []) => {
            let named = one.after.as_ref().or(one.before.as_ref());
            (named.map(|placed| placed.rule.name.clone()).unwrap_or_default(), json!(one.before), json!(one.after))
        }
        ([], [one]) => {
            let named = one.after.as_ref().or(one.before.as_ref());
            (named.map(|object| object.name.clone()).unwrap_or_default(), json!(one.before), json!(one.after))
        }
        (rules, objects) => {
            let before = (
                rules.iter().filter_map(|one| one.before.as_ref()),
                objects.iter().filter_map(|one| one.before.as_ref()),
            );
            let after = (
                rules.iter().filter_map(|one| one.after.as_ref()),
                objects.iter().filter_map(|one| one.after.as_ref()),
            );
            (format!("revision {revision}"), recorded(before.0, before.1, delta), recorded(after.0, after.1, delta))
        }
    };
    Audit { subject, before: text(before), after: text(after), ..record }
}

/// The first of these, as many as fit into a record.
fn recorded<'a>(
    rules: impl Iterator<Item = &'a Placed>,
    objects: impl Iterator<Item = &'a AddressObject>,
    delta: &Delta,
) -> Value {
    let mut room = MOST_RECORDED;
    let mut left_out = 0_u64;
    let mut take = |value: Value| {
        let taken = room.checked_sub(value.to_string().len());
        // what comes after one that does not fit is left out too: the record has the first ones
        room = taken.unwrap_or(0);
        left_out += u64::from(taken.is_none());
        taken.map(|_| value)
    };
    let mut rules: Vec<&Placed> = rules.collect();
    let uncounted = rules.len().saturating_sub(MOST_LOOKED_AT);
    rules.truncate(MOST_LOOKED_AT);
    let rules: Vec<Value> = rules.into_iter().filter_map(|one| take(json!(one))).collect();
    let objects: Vec<Value> = objects.filter_map(|one| take(json!(one))).collect();
    left_out += uncounted as u64;
    if left_out == 0 {
        return json!({"rules": rules, "objects": objects});
    }
    json!({"rules": rules, "objects": objects, "left_out": left_out, "change": delta.to_string()})
}

/// Rules that are looked at for a record at most: more of the smallest would not fit.
const MOST_LOOKED_AT: usize = 1_000;

/// What an edit did, or would do.
pub(crate) struct Edited<T> {
    /// What the change said.
    pub(crate) answer: T,
    /// The revision in force.
    pub(crate) revision: u64,
    /// As it is now, or would be.
    pub(crate) new: PolicyState,
    /// What that changes.
    pub(crate) delta: Delta,
}

impl<T> Edited<T> {
    /// The change, if it waits to be confirmed.
    pub(crate) fn unconfirmed(&self) -> Option<&Unconfirmed> {
        self.new.unconfirmed.as_ref().filter(|waiting| waiting.revision == self.revision)
    }
}

/// A policy that is being changed.
pub(crate) struct Draft {
    /// As it will be.
    pub(crate) new: PolicyState,
    /// As it was.
    pub(crate) old: PolicyState,
    known: Snapshot,
    /// What short names can mean; listed when the first is asked for.
    services: OnceCell<BTreeSet<ServiceKey>>,
    /// How long it has to be confirmed; `None` for a change that stays.
    pub(crate) confirm_within: Option<Duration>,
    /// Whether it takes back the change that waits to be confirmed.
    pub(crate) takes_back: bool,
}

impl Draft {
    fn new(state: &State) -> Self {
        let old = state.policy_state();
        let (new, known) = (old.clone(), state.snapshot());
        Self { new, old, known, services: OnceCell::new(), confirm_within: None, takes_back: false }
    }

    /// The key behind a short name.
    fn resolve(&self, name: &str) -> Result<ServiceKey, NameError> {
        let services = || {
            let defined = self.known.policy.definitions.iter().map(Definition::key);
            self.known.services().into_iter().cloned().chain(defined).collect()
        };
        resolve_among(name, self.services.get_or_init(services))
    }

    /// A rule as a caller writes it, its short names resolved against the draft's objects and the services that are known.
    pub(crate) fn read(&self, message: cnnf_rpc::v1::Rule) -> Result<Rule, ConvertError> {
        convert::policy::rule(message, &self.new.objects, &|name| self.resolve(name))
    }

    /// All rules of a policy.
    pub(crate) fn read_all(&self, messages: Vec<cnnf_rpc::v1::Rule>) -> Result<Vec<Rule>, ConvertError> {
        // many rules name few services
        let known: RefCell<HashMap<String, Result<ServiceKey, NameError>>> = RefCell::default();
        let resolve = |name: &str| {
            if let Some(known) = known.borrow().get(name) {
                return known.clone();
            }
            let found = self.resolve(name);
            known.borrow_mut().insert(name.to_owned(), found.clone());
            found
        };
        convert::policy::rules(messages, &self.new.objects, &resolve)
    }

    /// The place of the rule with this name or number.
    pub(crate) fn find(&self, text: &str) -> Result<usize, Status> {
        let rules = &self.new.rules;
        let by_number = || text.parse().ok().and_then(|id| rules.iter().position(|rule| rule.id == RuleId(id)));
        rules.iter().position(|rule| rule.name == text).or_else(by_number).ok_or_else(|| {
            let text: String = text.escape_debug().take(80).collect();
            Status::not_found(format!("there is no rule '{text}': 'cnnfctl rules list' shows names and numbers"))
        })
    }

    /// Makes rules and objects what a caller writes. A rule keeps the number of the one that has its name; one of another name that carries the
    /// number of a rule that is gone otherwise is that rule renamed. Names come first, as a file may be another controller's.
    pub(crate) fn replace(
        &mut self,
        rules: Vec<cnnf_rpc::v1::Rule>,
        objects: Vec<cnnf_rpc::v1::AddressObject>,
    ) -> Result<(), Status> {
        self.new.objects = convert::policy::objects(objects)?;
        let mut read = self.read_all(rules)?;
        let known: BTreeMap<&str, RuleId> = self.old.rules.iter().map(|rule| (rule.name.as_str(), rule.id)).collect();
        let named: BTreeSet<RuleId> = read.iter().filter_map(|rule| known.get(rule.name.as_str()).copied()).collect();
        let mut gone: BTreeSet<RuleId> = known.values().filter(|id| !named.contains(id)).copied().collect();
        for rule in &mut read {
            match known.get(rule.name.as_str()) {
                Some(id) => rule.id = *id,
                None if gone.remove(&rule.id) => {}
                None => {
                    self.new.last_rule += 1;
                    rule.id = RuleId(self.new.last_rule);
                }
            }
        }
        self.new.rules = read.into();
        Ok(())
    }

    /// Gives a rule the next number.
    pub(crate) fn number(&mut self, rule: &mut Rule) {
        self.new.last_rule += 1;
        rule.id = RuleId(self.new.last_rule);
    }

    /// Refuses if the newest revision is another one than the caller has seen; 0 is a caller who does not care.
    pub(crate) fn check_base(&self, seen: u64) -> Result<(), Status> {
        let newest = self.old.revision;
        if seen == 0 || seen == newest {
            return Ok(());
        }
        Err(Status::aborted(format!(
            "the rules have changed: they are at revision {newest}, not {seen}; 'cnnfctl rules history' shows by whom"
        )))
    }

    /// Undoes these changes, newest first.
    pub(crate) fn go_back(&mut self, changes: Vec<Delta>) -> Result<(), Status> {
        for delta in changes {
            let fits = delta.reversed().apply(&mut self.new.rules, &mut self.new.objects);
            fits.map_err(|error| Status::internal(error.to_string()))?;
        }
        Ok(())
    }

    /// Names are unique.
    fn check_names(&self) -> Result<(), ConvertError> {
        if self.new.rules.common(&self.old.rules).0 == self.new.rules.len() {
            return Ok(());
        }
        let mut names = HashSet::with_capacity(self.new.rules.len());
        match self.new.rules.iter().find(|rule| !names.insert(&rule.name)) {
            Some(twice) => Err(ConvertError::new("name", RuleError::Twice(twice.name.clone()))),
            None => Ok(()),
        }
    }

    /// Counts the revision up if anything differs, and stamps it on the rules that do.
    fn stamp(&mut self) -> bool {
        let revision = self.old.revision + 1;
        self.new.rules.stamp(&self.old.rules, revision);
        let changed = self.old.rules != self.new.rules || self.old.objects != self.new.objects;
        if changed {
            self.new.revision = revision;
        }
        changed
    }
}

impl Controller {
    /// The whole policy as it would be with these rules and objects; nothing is changed.
    pub(crate) fn draft(
        &self,
        rules: Vec<cnnf_rpc::v1::Rule>,
        objects: Vec<cnnf_rpc::v1::AddressObject>,
    ) -> Result<PolicySet, Status> {
        let mut draft = Draft::new(&self.state());
        draft.replace(rules, objects)?;
        draft.check_names()?;
        draft.stamp();
        let Draft { new: PolicyState { rules, objects, revision, .. }, known, .. } = draft;
        Ok(PolicySet { rules, objects, revision, ..PolicySet::clone(&known.policy) })
    }

    /// Changes rules and objects: `change` makes a draft of what will be; it is stored as `author`'s and then in force, or nothing has
    /// happened. Without an author it only says what would change.
    pub(crate) async fn edit_policy<T>(
        self: &Arc<Self>,
        by: Option<By>,
        change: impl FnOnce(&mut Draft) -> Result<T, Status>,
    ) -> Result<Edited<T>, Status> {
        self.edit_policy_and_tell(by, change, |_| Vec::new()).await
    }

    /// As [`Controller::edit_policy`], with events that are stored if and only if the change is.
    async fn edit_policy_and_tell<T>(
        self: &Arc<Self>,
        by: Option<By>,
        change: impl FnOnce(&mut Draft) -> Result<T, Status>,
        tell: impl FnOnce(&PolicyState) -> Vec<NewEvent>,
    ) -> Result<Edited<T>, Status> {
        let _guard = self.edits.lock().await;
        let mut draft = Draft::new(&self.state());
        let answer = change(&mut draft)?;
        draft.check_names()?;
        let changed = draft.stamp();
        if changed && by.is_some() {
            draft.check_confirmed()?;
        }
        let Draft { old, mut new, confirm_within, known, .. } = draft;
        // while somebody looks at the policy a change of it copies it
        drop(known);
        let delta = Delta::between((&old.rules, &old.objects), (&new.rules, &new.objects));
        let Some(By { author, record }) = by.filter(|_| changed) else {
            return Ok(Edited { answer, revision: old.revision, new, delta });
        };
        let who = author.who.clone();
        new.unconfirmed = confirm_within.map(|within| Unconfirmed {
            revision: new.revision,
            base: old.revision,
            who: who.clone(),
            at: author.at,
            until: author.at.plus(within),
        });
        let told = self
            .store
            .save_policy(&old, &new, author, tell(&new), of_delta(record, &delta, new.revision))
            .await
            .map_err(refuse)?;
        let queued = {
            let mut state = self.state();
            for gone in delta.rules.iter().filter(|one| one.after.is_none()).filter_map(|one| one.before.as_ref()) {
                state.uses.remove(&gone.rule.id);
            }
            state.last_rule = new.last_rule;
            state.unconfirmed = new.unconfirmed.clone().map(|waiting| Waiting::new(waiting, now()));
            let policy = Arc::make_mut(&mut state.policy);
            policy.revision = new.revision;
            policy.rules = new.rules.clone();
            let learned = if policy.objects == new.objects {
                Default::default()
            } else {
                policy.objects.clone_from(&new.objects);
                state.reresolve(now())
            };
            self.queue(&state, learned)
        };
        tracing::info!(revision = new.revision, who, rules = new.rules.len(), change = %delta, "the rules have changed");
        self.rules_changed.notify_one();
        self.resolve_now.notify_one();
        self.changes.note(Topic::Policy);
        self.settle(queued).await;
        self.publish(told);
        Ok(Edited { answer, revision: new.revision, new, delta })
    }

    /// Sets a setting.
    pub(crate) async fn edit_setting(
        &self,
        who: &Caller,
        name: &str,
        value: &str,
    ) -> Result<BTreeMap<String, String>, Status> {
        let _guard = self.edits.lock().await;
        let mut settings = self.state().settings.clone();
        settings.set(name, value).map_err(|error| ConvertError::new(error.field, error.message))?;
        let texts = settings.to_texts();
        let text = texts.get(name).cloned().unwrap_or_default();
        let before = self.state().settings.to_texts().remove(name);
        let record = who.record("settings.set", name, before.map(Value::from), Some(text.clone().into()));
        self.store.set_setting(name.to_owned(), text, record).await.map_err(refuse)?;
        let mut state = self.state();
        let policy = Arc::make_mut(&mut state.policy);
        policy.anomaly_effect = settings.anomaly_effect;
        policy.learning_off = !settings.learning;
        state.settings = settings;
        drop(state);
        tracing::info!(name, value, "a setting has changed");
        self.changes.note(Topic::Settings);
        self.resolve_now.notify_one();
        Ok(texts)
    }

    /// Sets a service's mode on all its hosts.
    pub(crate) async fn edit_service_mode(&self, who: &Caller, key: &ServiceKey, mode: Mode) -> Result<(), Status> {
        let _guard = self.edits.lock().await;
        let before = self.state().policy.service_modes.get(key).copied().unwrap_or(Mode::Enforce);
        let record = who.record("service.mode", key.as_str(), Some(json!(before)), Some(json!(mode)));
        self.store.set_service_mode(key.clone(), mode, record).await.map_err(refuse)?;
        Arc::make_mut(&mut self.state().policy).service_modes.insert(key.clone(), mode);
        tracing::info!(service = %key, %mode, "a service's mode has changed");
        self.changes.note(Topic::Topology);
        self.resolve_now.notify_one();
        Ok(())
    }

    /// Sets a host's mode.
    pub(crate) async fn edit_host_mode(&self, who: &Caller, id: &HostId, mode: Mode) -> Result<(), Status> {
        let _guard = self.edits.lock().await;
        let (name, before) = {
            let state = self.state();
            (state.host_name(id), state.hosts.get(id).map(|known| json!(known.row.mode)))
        };
        let record = who.record("host.mode", &name, before, Some(json!(mode)));
        self.store.set_host_mode(id.clone(), mode, record).await.map_err(refuse)?;
        let mut state = self.state();
        Arc::make_mut(&mut state.directory).change(id, |host| host.mode = mode);
        if let Some(known) = state.hosts.get_mut(id) {
            known.row.mode = mode;
        }
        drop(state);
        tracing::info!(host = %id, %mode, "a host's mode has changed");
        self.changes.note(Topic::Fleet);
        self.resolve_now.notify_one();
        Ok(())
    }
}
