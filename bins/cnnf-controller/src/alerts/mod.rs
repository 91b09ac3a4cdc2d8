//! Telling operators of events elsewhere. The store keeps the channels and how far each is; a pump for each channel takes events in the order of
//! their numbers, and goes on to the next when one has arrived. So a restart loses nothing, and what may come twice says so.

mod channel;
mod message;
mod pump;
mod rate;
mod render;
mod route;
mod send;
mod target;
mod template;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cnnf_core::event::EventParty;
use cnnf_core::policy::Reason;
use cnnf_core::time::Timestamp;
use cnnf_store::{ChannelProgress, ChannelRow, Store, StoreError, StoredEvent, Subject};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use channel::Channel;
use message::Alert;
use pump::Pump;
use route::Facts;
use send::Sender;

use crate::clock::now;
use crate::controller::Controller;
use crate::state::State;

/// How long a delivery may go on when the controller ends.
const GRACE: Duration = Duration::from_secs(2);

/// The channels, and who wakes their pumps.
pub(crate) struct Alerts {
    known: Mutex<BTreeMap<String, Known>>,
    /// Events were stored.
    pub(crate) wake: watch::Sender<()>,
    /// Channels have changed.
    pub(crate) changed: Notify,
}

/// A channel in force.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) channel: Arc<Channel>,
    pub(crate) changed_by: String,
    pub(crate) changed: Timestamp,
    pub(crate) progress: ChannelProgress,
}

impl Alerts {
    /// # Errors
    /// The store cannot be read, or has what is no channel.
    pub(crate) fn restore(store: &Store) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for ChannelRow { name, body, changed_by, changed, progress } in store.channels()? {
            let channel =
                serde_json::from_str(&body).map_err(|error| StoreError::Corrupt(format!("channel {name}: {error}")))?;
            known.insert(name, Known { channel: Arc::new(channel), changed_by, changed, progress });
        }
        Ok(Self { known: Mutex::new(known), wake: watch::channel(()).0, changed: Notify::new() })
    }

    /// All channels, by name. Never held over an await.
    pub(crate) fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Nothing in between can be half-done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of all channels' messages.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) good: u64,
    pub(crate) failing: u64,
    pub(crate) disabled: u64,
    pub(crate) sent: u64,
    pub(crate) folded: u64,
}

impl Alerts {
    /// Over all channels that there are.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for Known { channel, progress, .. } in self.known().values() {
            match (channel.disabled, progress.last_error.is_empty()) {
                (true, _) => totals.disabled += 1,
                (false, true) => totals.good += 1,
                (false, false) => totals.failing += 1,
            }
            totals.sent += progress.sent;
            totals.folded += progress.folded;
        }
        totals
    }
}

/// Runs a pump for each channel that is not disabled, until the controller ends.
pub(crate) async fn run(controller: Arc<Controller>) {
    let mut pumps: BTreeMap<String, (Arc<Channel>, JoinHandle<()>)> = BTreeMap::new();
    loop {
        let wanted: BTreeMap<String, Arc<Channel>> = {
            let known = controller.alerts.known();
            let on = known.iter().filter(|(_, known)| !known.channel.disabled);
            on.map(|(name, known)| (name.clone(), Arc::clone(&known.channel))).collect()
        };
        let old = std::mem::take(&mut pumps);
        for (name, (channel, pump)) in old {
            if wanted.get(&name).is_some_and(|wanted| Arc::ptr_eq(wanted, &channel)) {
                pumps.insert(name, (channel, pump));
            } else {
                // The next one begins where this one has ended.
                pump.abort();
                let _ = pump.await;
            }
        }
        for (name, channel) in wanted {
            pumps.entry(name).or_insert_with_key(|name| {
                let pump = Pump::new(Arc::clone(&controller), name.clone(), Arc::clone(&channel));
                (channel, tokio::spawn(pump.run()))
            });
        }
        tokio::select! {
            () = controller.alerts.changed.notified() => {}
            () = controller.ended() => break,
        }
    }
    let all = async {
        for (_, pump) in pumps.values_mut() {
            // One that has panicked is told of by its panic.
            let _ = pump.await;
        }
    };
    if timeout(GRACE, all).await.is_err() {
        pumps.values().for_each(|(_, pump)| pump.abort());
    }
}

/// Sends a test message, past everything, and says how long it took.
pub(crate) async fn test(name: &str, channel: &Channel) -> Result<(), String> {
    let sender = Sender::new(channel).map_err(|failure| failure.text)?;
    sender.send(&[Alert::test(name, now())]).await.map_err(|failure| failure.text)
}

/// Whether a channel is told of an event, as things are now.
fn concerns(state: &State, channel: &Channel, event: &StoredEvent) -> bool {
    let mut facts = Facts { kind: event.kind, ..Facts::default() };
    let labels = |id| state.hosts.get(id).map(|known| &known.row.labels);
    match &event.subject {
        Subject::Connection { client, server, reason, .. } => {
            let ends: [&EventParty; 2] = [client, server];
            facts.services.extend(ends.iter().filter_map(|party| party.service.as_ref()));
            facts.hosts.extend(ends.iter().filter_map(|party| party.host.as_ref()).filter_map(labels));
            match reason {
                Reason::Rule { name, .. } => facts.rule = Some(name),
                Reason::Model(key) => facts.services.push(key),
                Reason::OtherSide | Reason::Default => {}
            }
        }
        Subject::System { host, .. } => facts.hosts.extend(host.as_ref().and_then(labels)),
    }
    channel.route.fits(&facts)
}

/// Events that wait for a channel; counted to `most` at most.
pub(crate) fn pending(controller: &Controller, known: &Known, most: usize) -> Result<u64, StoreError> {
    const PAGE: usize = 500;
    let (mut count, mut at, mut looked) = (0, known.progress.told, 0);
    while looked < most {
        let page = controller.store.events_after(at, PAGE)?;
        let state = controller.state();
        count += page.iter().filter(|event| concerns(&state, &known.channel, event)).count() as u64;
        looked += page.len();
        match page.last() {
            Some(last) if page.len() == PAGE => at = last.id,
            _ => break,
        }
    }
    Ok(count)
}
