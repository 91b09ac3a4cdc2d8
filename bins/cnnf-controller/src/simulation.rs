//! The controller without its network, clock and tasks, for simulations: what reports do to the state and the store, and how policies are
//! made and handed out, is the real code; whoever drives it says what comes when, and what time it is.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::id::HostId;
use cnnf_core::label::Labels;
use cnnf_core::policy::{HostPolicy, Mode, resolve};
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_store::{Audit, Author, Certificate, NewHost, NewToken, Store};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::auth::{Caller, Who};
use crate::controller::Controller;
use crate::distribute::Distributor;
use crate::edit::By;
use crate::grpc::defender::{self, Policies, Stream};
use crate::pki::{Ca, Folder, Trust};
use crate::tasks;

pub use crate::distribute::LATER;
pub use crate::state::SILENCE;

/// How long certificates and tokens hold: longer than a simulation lasts.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A running controller.
pub struct Simulated {
    controller: Arc<Controller>,
    distributor: Distributor,
    runtime: Runtime,
}

/// A defender's stream, as the controller sees it.
pub struct Attached {
    stream: Stream,
    policies: Policies,
    sent: Option<Arc<HostPolicy>>,
    /// Whether the newest policy has to be looked at.
    fresh: bool,
}

impl Simulated {
    /// Makes a controller whose database is in `folder`.
    #[must_use]
    pub fn create(folder: &Path, now: Timestamp) -> Self {
        Self::start(Store::create(&folder.join("db")).expect("a new database"), now)
    }

    /// One that finds the database of an earlier run.
    #[must_use]
    pub fn open(folder: &Path, now: Timestamp) -> Self {
        Self::start(Store::open(&folder.join("db")).expect("the database"), now)
    }

    fn start(store: Store, now: Timestamp) -> Self {
        let ca = Ca::create().expect("a CA");
        let server = Ca::of(&ca).and_then(|ca| ca.server(&["localhost".to_owned()])).expect("a certificate");
        let trust = Trust::of(&Folder { ca, server, other: None }).expect("both fit");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let controller = Controller::start(store, trust, LIFE, now).expect("a state");
        controller.resolve_now.notify_one();
        Self { controller, distributor: Distributor::default(), runtime }
    }

    /// The controller itself.
    #[cfg(test)]
    pub(crate) fn controller(&self) -> Arc<Controller> {
        Arc::clone(&self.controller)
    }

    /// Lets a host in.
    pub fn enrol(&self, name: &str, labels: &str, now: Timestamp) -> HostId {
        let controller = &self.controller;
        let id = HostId::new(name);
        let new = NewHost {
            id: id.clone(),
            name: name.to_owned(),
            labels: labels.parse().expect("labels"),
            mode: Mode::Enforce,
            certificate: Certificate { serial: String::new(), issuer: String::new(), expires: now.plus(LIFE) },
        };
        let row = self.runtime.block_on(async {
            let token = NewToken {
                secret_hash: name.to_owned(),
                created: now,
                expires: now.plus(LIFE),
                uses: 1,
                labels: Labels::default(),
            };
            controller.store.add_token(token, Audit::default()).await.expect("a token");
            controller.store.enrol(name.to_owned(), new, now, Audit::default()).await.expect("stored").expect("let in")
        });
        controller.state().add_host(row, now);
        controller.resolve_now.notify_one();
        id
    }

    /// A host's new stream; an older one of its ends.
    ///
    /// # Errors
    /// Why the host is not taken.
    pub fn attach(&self, host: &HostId, hello: v1::Hello, now: Timestamp) -> Result<Attached, String> {
        let begun = self.runtime.block_on(defender::begin(&self.controller, host.clone(), hello, None, now));
        let (stream, policies) = begun.map_err(|status| status.message().to_owned())?;
        Ok(Attached { stream, policies, sent: None, fresh: true })
    }

    /// Hears a message; says what to answer once what it says is durable.
    ///
    /// # Errors
    /// Why the stream ends.
    pub fn hear(
        &self,
        attached: &mut Attached,
        message: v1::DefenderMessage,
        now: Timestamp,
    ) -> Result<Option<v1::ControllerMessage>, String> {
        if matches!(message.body, Some(Up::SnapshotWanted(_))) {
            attached.sent = None;
            attached.fresh = true;
        }
        let heard = attached.stream.hear(message, now).map_err(|status| status.message().to_owned())?;
        let Some(report) = heard else { return Ok(None) };
        let body = self.runtime.block_on(attached.stream.settle(report));
        let body = body.map_err(|status| status.message().to_owned())?;
        Ok(Some(v1::ControllerMessage { body: Some(body) }))
    }

    /// What goes down next on a stream.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn next_policy(&self, attached: &mut Attached) -> Result<Option<v1::ControllerMessage>, String> {
        let changed = attached.policies.has_changed().map_err(|_| "another stream has begun".to_owned())?;
        if !changed && !std::mem::take(&mut attached.fresh) {
            return Ok(None);
        }
        attached.fresh = false;
        let Some(policy) = attached.policies.borrow_and_update().clone() else { return Ok(None) };
        let body = defender::next_policy(attached.sent.as_deref(), &policy);
        attached.sent = Some(policy);
        Ok(Some(v1::ControllerMessage { body: Some(body) }))
    }

    /// The stream's end is noticed.
    pub fn detach(&self, attached: &Attached) {
        attached.stream.end();
    }

    /// Lets time pass for hosts and models.
    pub fn tick(&self, elapsed: Duration, now: Timestamp) {
        self.runtime.block_on(tasks::tick(&self.controller, elapsed, now));
    }

    /// Resolves and hands out policies, if something has changed or somebody has waited long enough; says whether.
    pub fn distribute(&mut self, now: Timestamp) -> bool {
        let asked = asked(&self.controller.resolve_now) | asked(&self.controller.resolve_soon);
        let due = asked || self.distributor.due().is_some_and(|due| due <= now);
        if due {
            self.distributor = std::mem::take(&mut self.distributor).round(&self.controller, now);
        }
        due
    }

    /// Makes the rules these.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn set_rules(&self, rules: Vec<v1::Rule>, now: Timestamp) -> Result<(), String> {
        let author = Author { at: now, who: "simulation".to_owned(), why: String::new() };
        let by = By { author, record: Audit { at: now, ..Audit::default() } };
        let edit = self.controller.edit_policy(Some(by), |draft| draft.replace(rules, Vec::new()));
        self.runtime.block_on(edit).map(drop).map_err(|status| status.message().to_owned())
    }

    /// Sets a host's mode.
    pub fn set_mode(&self, host: &HostId, mode: Mode) {
        self.runtime.block_on(self.controller.edit_host_mode(&somebody(), host, mode)).expect("stored");
    }

    /// Sets a setting.
    pub fn set(&self, name: &str, value: &str) {
        self.runtime.block_on(self.controller.edit_setting(&somebody(), name, value)).expect("stored");
    }

    /// The newest generation of a host.
    #[must_use]
    pub fn generation(&self, host: &HostId) -> u64 {
        self.controller.state().hosts.get(host).map_or(0, |known| known.desired.generation)
    }

    /// What a host should have by everything that is known now, with its newest generation's number.
    #[must_use]
    pub fn wanted(&self, host: &HostId, now: Timestamp) -> HostPolicy {
        let generation = self.generation(host);
        let state = self.controller.state();
        resolve(&state.policy, &state.directory, host, now, generation)
    }

    /// How many connections and bytes are counted over all edges.
    #[must_use]
    pub fn counted(&self) -> (u64, u64) {
        let state = self.controller.state();
        let all = state.topology.edges().values();
        all.fold((0, 0), |sum, stats| (sum.0 + stats.connections, sum.1 + stats.bytes))
    }

    /// What the store has of it.
    #[must_use]
    pub fn stored(&self) -> (u64, u64) {
        let all = self.controller.store.edges().expect("edges");
        all.iter().fold((0, 0), |sum, (_, stats)| (sum.0 + stats.connections, sum.1 + stats.bytes))
    }
}

fn somebody() -> Caller {
    Caller { who: Who::Certificate("simulation".to_owned()), address: None, once: None }
}

/// Whether somebody was notified; takes the notification.
fn asked(notify: &Notify) -> bool {
    pin!(notify.notified()).enable()
}
