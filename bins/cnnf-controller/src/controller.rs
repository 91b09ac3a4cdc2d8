//! What all handlers and tasks share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cnnf_core::event::EventKind;
use cnnf_core::time::Timestamp;
use cnnf_store::{Pending, Store, StoreError, StoredEvent};
use tokio::sync::{Notify, Semaphore, watch};
use tonic::Status;

use crate::alerts::Alerts;
use crate::changes::{Changes, Topic};
use crate::clock::now;
use crate::downloads::Downloads;
use crate::health::Health;
use crate::oidc::Oidc;
use crate::people::People;
use crate::pki::Trust;
use crate::state::{Learned, Snapshot, State, restore};
use crate::writes::UnderWay;

/// Reports that may wait for the store at the same time, over all hosts. Less than the store's queue, so that queuing never waits.
const INTAKES: usize = 2048;

/// The controller.
pub(crate) struct Controller {
    pub(crate) store: Store,
    /// Where hosts reach it, HOST:PORT.
    pub(crate) reached_at: OnceLock<Vec<String>>,
    /// Who else signs people in, if the configuration says so.
    oidc: RwLock<Option<Arc<Oidc>>>,
    /// What hosts can fetch to become defended.
    pub(crate) downloads: OnceLock<Downloads>,
    /// What watchers are told of.
    pub(crate) changes: Changes,
    /// Whether it can do its work.
    pub(crate) health: Health,
    /// How often events of each kind began or were counted up.
    told: Mutex<BTreeMap<EventKind, u64>>,
    /// Where operators are told of events.
    pub(crate) alerts: Alerts,
    /// Users, sessions and tokens.
    pub(crate) people: People,
    /// Whom it believes; changes with the CA.
    pub(crate) trust: watch::Sender<Arc<Trust>>,
    /// The life of hosts' certificates.
    pub(crate) certificate_life: watch::Sender<Duration>,
    state: Mutex<State>,
    /// Calls with keys that are being made.
    pub(crate) under_way: UnderWay,
    /// Held by whoever changes what operators decide: from reading the old to knowing the new.
    pub(crate) edits: tokio::sync::Mutex<()>,
    /// A place for a report on its way to the store.
    pub(crate) intakes: Arc<Semaphore>,
    /// Policies are to be resolved at once.
    pub(crate) resolve_now: Notify,
    /// Policies are to be resolved soon.
    pub(crate) resolve_soon: Notify,
    /// Rules have changed, and with them when the next one expires.
    pub(crate) rules_changed: Notify,
    /// Becomes true when the controller is to end.
    pub(crate) ending: watch::Sender<bool>,
    streams: AtomicU64,
}

impl Controller {
    /// With everything that the store has.
    pub(crate) fn start(
        store: Store,
        trust: Arc<Trust>,
        certificate_life: Duration,
        at: Timestamp,
    ) -> Result<Arc<Self>, StoreError> {
        let state = restore(&store, at)?;
        let people = People::restore(&store)?;
        let alerts = Alerts::restore(&store)?;
        Ok(Arc::new(Self {
            store,
            reached_at: OnceLock::new(),
            oidc: RwLock::default(),
            downloads: OnceLock::new(),
            changes: Changes::new(),
            alerts,
            people,
            trust: watch::channel(trust).0,
            certificate_life: watch::channel(certificate_life).0,
            health: Health::default(),
            told: Mutex::default(),
            state: Mutex::new(state),
            under_way: UnderWay::default(),
            edits: tokio::sync::Mutex::default(),
            intakes: Arc::new(Semaphore::new(INTAKES)),
            resolve_now: Notify::new(),
            resolve_soon: Notify::new(),
            rules_changed: Notify::new(),
            ending: watch::channel(false).0,
            streams: AtomicU64::new(0),
        }))
    }

    /// The state. Never held over an await, nor for long work.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a defect; what it may have left half-done is mended by the next restart, as the store is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other stream has.
    pub(crate) fn next_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// Who else signs people in at present.
    pub(crate) fn oidc(&self) -> Option<Arc<Oidc>> {
        self.oidc.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who else signs people in from now on. Sessions that have begun go on.
    pub(crate) fn sign_in_by(&self, oidc: Option<Oidc>) {
        *self.oidc.write().unwrap_or_else(PoisonError::into_inner) = oidc.map(Arc::new);
    }

    /// Whom the controller believes at present.
    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.borrow())
    }

    /// Waits until the controller is to end.
    pub(crate) async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as self.
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// Runs long or blocking work beside the runtime.
    pub(crate) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&this))
            .await
            .unwrap_or_else(|error| Err(Status::internal(format!("the work was not finished: {error}"))))
    }

    /// The big values as they are now, to be looked at without the lock.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// Tells watchers about events that were stored.
    pub(crate) fn publish(&self, events: Vec<StoredEvent>) {
        if !events.is_empty() {
            self.changes.note(Topic::Events);
            self.alerts.wake.send_replace(());
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            *told.entry(event.kind).or_default() += 1;
        }
    }

    /// How often events of a kind began or were counted up since the start.
    pub(crate) fn times_told(&self, kind: EventKind) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).copied().unwrap_or(0)
    }

    /// Queues what was learned outside of a report. Takes the state's lock as a proof that it is held: values are whole new ones, and the
    /// store must see them in the order in which the state made them.
    pub(crate) fn queue(&self, _state: &MutexGuard<'_, State>, learned: Learned) -> Queued {
        if learned.policy_changed {
            self.resolve_now.notify_one();
        }
        if learned.is_empty() {
            return Queued(None);
        }
        self.changes.note(Topic::Topology);
        self.changes.note(Topic::Models);
        Queued(Some(Writes {
            edges: self.store.patch_edges(learned.edges),
            models: self.store.patch_models(learned.models),
            events: self.store.add_events(learned.events),
        }))
    }

    /// Waits until it is stored, and tells about it. What could not be stored is taken back.
    pub(crate) async fn settle(self: &Arc<Self>, queued: Queued) {
        let Some(Writes { edges, models, events }) = queued.0 else { return };
        if let Err(error) = edges.await.and(models.await) {
            tracing::error!(%error, "what was learned could not be stored");
            self.take_back().await;
        }
        match events.await {
            Ok(events) => self.publish(events),
            Err(error) => tracing::error!(%error, "events could not be stored"),
        }
    }

    /// Makes the state equal to the store again after something could not be stored: what was counted from it will be reported again. All
    /// streams end and come back, as what each has on its way was refused.
    pub(crate) async fn take_back(self: &Arc<Self>) {
        let restored = self.aside(|controller| controller.restore_state().map_err(refuse)).await;
        if let Err(status) = restored {
            tracing::error!(error = status.message(), "the state could not be read again");
        }
    }

    fn restore_state(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        self.store.resume().wait()?;
        let fresh = restore(&self.store, now())?;
        let started = state.started;
        *state = State { started, ..fresh };
        self.changes.note(Topic::Topology);
        self.changes.note(Topic::Models);
        self.resolve_now.notify_one();
        Ok(())
    }
}

/// What was learned, on its way to the store.
#[must_use]
pub(crate) struct Queued(Option<Writes>);

struct Writes {
    edges: Pending<()>,
    models: Pending<()>,
    events: Pending<Vec<StoredEvent>>,
}

/// A store's error for a caller.
pub(crate) fn refuse(error: StoreError) -> Status {
    match error {
        StoreError::Stale { .. } => Status::aborted(error.to_string()),
        StoreError::NotFound(_) => Status::not_found(error.to_string()),
        StoreError::Shut => Status::unavailable("the controller is ending"),
        StoreError::Disk(_) => {
            tracing::error!(%error, "the store cannot write");
            Status::unavailable(error.to_string())
        }
        _ => {
            tracing::error!(%error, "the store fails");
            Status::internal(error.to_string())
        }
    }
}
