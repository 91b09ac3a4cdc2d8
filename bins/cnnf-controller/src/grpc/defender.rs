//! A defender's stream: reports and answers come up, acknowledgements and policies go down.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::event::EventKind;
use cnnf_core::id::HostId;
use cnnf_core::policy::{HostDelta, HostPolicy};
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::{ConvertError, common};
use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::defender_service_server::DefenderService;
use cnnf_rpc::v1::{Acknowledged, ControllerMessage, DefenderMessage, Hello, RenewRequest, RenewResponse, SpoolPast};
use cnnf_rpc::{limits, v1};
use cnnf_store::{Cursor, NewEvent, Pending, Subject, Taken};
use prost::Message as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Api;
use super::enrollment::certify;
use crate::changes::Topic;
use crate::clock::{now, skew};
use crate::controller::{Controller, refuse};
use crate::ingest;
use crate::pki::Trust;
use crate::state::{KnownHost, LiveStream, SILENCE};

/// Messages that wait for a slow defender at most.
const DOWN_QUEUE: usize = 16;
/// Questions that wait for a slow defender at most.
const QUESTIONS: usize = 4;
/// Counters of a heartbeat that are kept at most.
const MAX_COUNTERS: usize = 256;
/// Lines of a heartbeat that are kept at most.
const MAX_LINES: usize = 64;
/// Earlier epochs of a spool that are looked at, at most.
const MAX_PAST: usize = 8;
/// Bytes of such a line that are kept at most.
const MAX_LINE: usize = 1024;

type Sender = mpsc::Sender<Result<ControllerMessage, Status>>;

/// A report on its way to the store.
pub(crate) struct Unacknowledged {
    seq: u64,
    taken: Pending<Taken>,
}

/// A stream's end of the controller.
pub(crate) struct Stream {
    controller: Arc<Controller>,
    host: HostId,
    epoch: String,
    number: u64,
    /// Whether the host applies deltas.
    pub(crate) deltas: bool,
    /// The host cannot apply a delta: its next policy goes whole.
    pub(crate) whole: Arc<Notify>,
    /// Questions for the host.
    questions: mpsc::Receiver<v1::Preview>,
}

#[tonic::async_trait]
impl DefenderService for Api {
    type AttachStream = ReceiverStream<Result<ControllerMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<DefenderMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let host = host_of(&request)?;
        let from = request.extensions().get::<PeerConnection>().map(|peer| peer.address.ip().to_canonical());
        let mut messages = request.into_inner();
        let first = tokio::time::timeout(limits::HANDSHAKE, messages.message());
        let first = first.await.map_err(|_| Status::deadline_exceeded("no Hello in time"))??;
        let Some(Up::Hello(hello)) = first.and_then(|message| message.body) else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        let (stream, policies) = begin(&self.0, host, hello, from, now()).await?;
        let (down, answers) = mpsc::channel(DOWN_QUEUE);
        tokio::spawn(stream.run(messages, policies, down));
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let host = host_of(&request)?;
        let certificate = certify(&self.0, &self.0.trust(), &host, &request.into_inner().csr)?;
        self.0.store.renew_host(host.clone(), certificate.kept.clone()).await.map_err(refuse)?;
        if let Some(known) = self.0.state().hosts.get_mut(&host) {
            known.row.certificate = certificate.kept;
        }
        tracing::info!(%host, "a host's certificate was renewed");
        Ok(Response::new(RenewResponse { certificate: certificate.der }))
    }
}

/// The host that calls.
fn host_of<T>(request: &Request<T>) -> Result<HostId, Status> {
    match request.extensions().get::<PeerConnection>().map(|peer| &peer.identity) {
        Some(PeerIdentity::Defender(host)) => Ok(host.clone()),
        _ => Err(Status::unauthenticated("this call needs a defender's certificate")),
    }
}

pub(crate) type Policies = watch::Receiver<Option<Arc<HostPolicy>>>;

/// Notes the host as connected; an older stream of its ends.
pub(crate) async fn begin(
    controller: &Arc<Controller>,
    host: HostId,
    hello: Hello,
    from: Option<IpAddr>,
    at: Timestamp,
) -> Result<(Stream, Policies), Status> {
    let version = common::text("version", hello.version)?;
    let epoch = common::text("spool_epoch", hello.spool_epoch)?;
    if epoch.is_empty() {
        return Err(ConvertError::new("spool_epoch", "is missing").into());
    }
    let labels = common::labels("labels", hello.labels)?;
    let bound = controller.state().hosts.get(&host).map(|known| known.row.bound.clone()).unwrap_or_default();
    let labels = labels.with(&bound);
    controller.store.note_hosts(vec![(host.clone(), version.clone(), labels.clone(), at)]).await.map_err(refuse)?;
    let number = controller.next_stream();
    let (receiver, questions, changed, renamed, told) = {
        let mut state = controller.state();
        let mut changed = state.heard(&host, at);
        if state.directory.host(&host).is_some_and(|entry| entry.labels != labels) {
            Arc::make_mut(&mut state.directory).change(&host, |entry| entry.labels.clone_from(&labels));
            changed = true;
        }
        let Some(known) = state.hosts.get_mut(&host) else {
            return Err(Status::permission_denied(format!(
                "host {host} is not known here: enrol it again with a new token"
            )));
        };
        if known.row.revoked {
            return Err(revoked(&host));
        }
        known.row.version = version;
        known.row.labels = labels;
        known.row.last_seen = at;
        if hello.generation > known.desired.generation {
            // The store was restored from a backup: go on from what the host has, so that a generation never goes back.
            tracing::warn!(%host, theirs = hello.generation, ours = known.desired.generation, "a host has a newer generation");
            known.desired.generation = hello.generation;
            known.desired.content.clear();
            known.desired.policy = None;
        }
        let past = hello.spool_past.iter().take(MAX_PAST).find_map(|past| renamed(known.cursor.as_ref()?, past));
        let renamed = past.map(|seq| {
            let cursor = Cursor { epoch: epoch.clone(), seq };
            known.cursor = Some(cursor.clone());
            // queued under the lock, so before any report of the new stream
            controller.store.move_cursor(host.clone(), cursor)
        });
        changed |= known.desired.policy.is_none();
        let (policies, receiver) = watch::channel(known.desired.policy.clone());
        let (asking, mut questions) = mpsc::channel(QUESTIONS);
        if !hello.takes_previews {
            questions.close();
        }
        known.status = None;
        known.skew_ms = skew(hello.now_ms, at);
        if known.skew_ms != 0 {
            tracing::warn!(%host, ms = known.skew_ms, "a host's clock is wrong: its times are corrected");
        }
        known.counters.clear();
        known.not_covered.clear();
        let live = LiveStream { number, policies, questions: asking, asked: BTreeMap::new() };
        let replaces = known.live.replace(live).is_some();
        if replaces {
            tracing::warn!(%host, "a second stream of a host ends the first");
        }
        let cloned = known.streams.begin(&epoch, from, replaces, at).then(|| cloned(&host, at));
        // In the order of the state: see Controller::queue.
        let told = cloned.map(|event| controller.store.add_events(vec![event]));
        (receiver, questions, changed, renamed, told)
    };
    if changed {
        controller.resolve_now.notify_one();
    }
    if let Some(renamed) = renamed {
        renamed.await.map_err(refuse)?;
    }
    if let Some(told) = told {
        tracing::warn!(%host, "two machines use one host's identity");
        controller.publish(told.await.map_err(refuse)?);
    }
    tracing::info!(%host, "a defender is connected");
    controller.changes.note(Topic::Fleet);
    let whole = Arc::new(Notify::new());
    let controller = Arc::clone(controller);
    let stream = Stream { controller, host, epoch, number, deltas: hello.takes_deltas, whole, questions };
    Ok((stream, receiver))
}

/// Two machines use the identity of this host.
fn cloned(host: &HostId, at: Timestamp) -> NewEvent {
    let message = "two machines use this host's identity in turn, as copies of one image do: delete /var/lib/cnnf-defender on one of them and \
                   enrol it anew; if you do not know one, revoke this host and enrol yours anew";
    NewEvent {
        kind: EventKind::Cloned,
        subject: Subject::System { host: Some(host.clone()), message: message.to_owned() },
        process: None,
        count: 1,
        at,
    }
}

/// What the newest durable report is called now, if its host has had a new spool since.
fn renamed(cursor: &Cursor, past: &SpoolPast) -> Option<u64> {
    let seq = cursor.seq.saturating_sub(past.offset).min(past.count);
    (cursor.epoch == past.spool_epoch && seq > 0).then_some(seq)
}

impl Stream {
    async fn run(mut self, messages: Streaming<DefenderMessage>, policies: Policies, down: Sender) {
        let (queue, waiting) = mpsc::channel(limits::MAX_UNACKNOWLEDGED);
        let mut end = policies.clone();
        // Beside what is sent, so that a defender that takes nothing cannot hold its stream open.
        let ended = async { while end.changed().await.is_ok() {} };
        let questions = std::mem::replace(&mut self.questions, mpsc::channel(1).1);
        let result = tokio::select! {
            () = self.controller.ended() => Err(Status::unavailable("the controller is ending")),
            () = ended => Err(self.replaced()),
            result = self.up(messages, queue) => result,
            result = self.acknowledge(waiting, &down) => result,
            result = push(policies, self.deltas, &self.whole, &down) => result,
            result = ask(questions, &down) => result,
            result = tell_trust(self.controller.trust.subscribe(), &down) => result,
        };
        self.end();
        self.controller.changes.note(Topic::Fleet);
        match result {
            Ok(()) => tracing::info!(host = %self.host, "a defender has ended its stream"),
            Err(status) => {
                tracing::info!(host = %self.host, reason = status.message(), "a defender's stream ends");
                let _ = down.try_send(Err(status));
            }
        }
    }

    fn is_live(&self) -> bool {
        self.controller.state().hosts.get(&self.host).is_some_and(|known| is_live(known, self.number))
    }

    /// Why this is not the host's stream any more.
    fn replaced(&self) -> Status {
        match self.controller.state().hosts.get(&self.host) {
            Some(known) if known.row.revoked => revoked(&self.host),
            Some(_) => {
                Status::aborted("another stream of this host has begun, or reports could not be stored: connect again")
            }
            None => {
                Status::permission_denied(format!("host {} was deleted: enrol it again with a new token", self.host))
            }
        }
    }

    /// Takes messages until there are no more.
    async fn up(
        &self,
        mut messages: Streaming<DefenderMessage>,
        queue: mpsc::Sender<(Unacknowledged, OwnedSemaphorePermit)>,
    ) -> Result<(), Status> {
        loop {
            let message = tokio::time::timeout(SILENCE, messages.message())
                .await
                .map_err(|_| Status::deadline_exceeded(format!("silent for {} s", SILENCE.as_secs())))??;
            let Some(message) = message else { return Ok(()) };
            let wait = self.weigh(&message);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let permit = match &message.body {
                Some(Up::Report(_)) => Some(
                    Arc::clone(&self.controller.intakes)
                        .acquire_owned()
                        .await
                        .map_err(|_| Status::unavailable("the controller is ending"))?,
                ),
                _ => None,
            };
            if let (Some(report), Some(permit)) = (self.hear(message, now())?, permit)
                && queue.send((report, permit)).await.is_err()
            {
                return Ok(());
            }
        }
    }

    /// How long to wait before this message is taken, by what its host has sent already.
    fn weigh(&self, message: &DefenderMessage) -> Duration {
        let size = message.encoded_len();
        self.controller.state().hosts.get_mut(&self.host).map_or(Duration::ZERO, |known| known.quota.bytes(size, now()))
    }

    /// Takes one message; a report is queued for the store.
    pub(crate) fn hear(&self, message: DefenderMessage, at: Timestamp) -> Result<Option<Unacknowledged>, Status> {
        let returned = self.controller.state().heard(&self.host, at);
        if returned {
            self.controller.resolve_now.notify_one();
        }
        match message.body {
            Some(Up::Report(report)) => {
                let seq = report.seq;
                let taken = ingest::take_in(&self.controller, &self.host, &self.epoch, self.number, report, at)
                    .ok_or_else(|| self.replaced())?;
                return Ok(Some(Unacknowledged { seq, taken }));
            }
            Some(Up::ApplyStatus(status)) => {
                let message = common::text("message", status.message.clone())?;
                if status.outcome != "applied" {
                    tracing::warn!(host = %self.host, generation = status.generation, outcome = status.outcome, message, "a policy is not applied");
                }
                if let Some(known) = self.controller.state().hosts.get_mut(&self.host) {
                    known.status = Some(status);
                }
                self.controller.changes.note(Topic::Fleet);
            }
            Some(Up::Heartbeat(beat)) => {
                if let Some(known) = self.controller.state().hosts.get_mut(&self.host) {
                    known.counters = beat.counters.into_iter().take(MAX_COUNTERS).collect();
                    known.skew_ms = skew(beat.now_ms, at);
                    let lines: Vec<String> = beat.not_covered.into_iter().take(MAX_LINES).map(line).collect();
                    if known.not_covered != lines {
                        known.not_covered = lines;
                        self.controller.changes.note(Topic::Fleet);
                    }
                }
            }
            Some(Up::PreviewAnswer(answer)) => {
                let mut state = self.controller.state();
                let live = state.hosts.get_mut(&self.host).and_then(|known| known.live.as_mut());
                let asked = live.filter(|live| live.number == self.number);
                if let Some(waiting) = asked.and_then(|live| live.asked.remove(&answer.number)) {
                    // who gave up waiting needs no answer
                    let _ = waiting.send(answer);
                }
            }
            Some(Up::SnapshotWanted(wanted)) => {
                let reason = common::text("reason", wanted.reason)?;
                tracing::info!(host = %self.host, generation = wanted.generation, reason, "a host wants its policy whole");
                self.whole.notify_one();
            }
            Some(Up::Hello(_)) => return Err(Status::invalid_argument("Hello comes first and only once")),
            // A message of a newer defender.
            None => {}
        }
        Ok(None)
    }

    /// Acknowledges reports once they are durable, in their order.
    async fn acknowledge(
        &self,
        mut waiting: mpsc::Receiver<(Unacknowledged, OwnedSemaphorePermit)>,
        down: &Sender,
    ) -> Result<(), Status> {
        while let Some((report, permit)) = waiting.recv().await {
            let body = self.settle(report).await?;
            drop(permit);
            if down.send(Ok(ControllerMessage { body: Some(body) })).await.is_err() {
                return Ok(());
            }
        }
        // The other half has ended and says why.
        std::future::pending().await
    }

    /// Waits until a report is durable; says what acknowledges it.
    pub(crate) async fn settle(&self, report: Unacknowledged) -> Result<Down, Status> {
        match report.taken.await {
            Ok(Taken::Fresh(events)) => self.controller.publish(events),
            Ok(Taken::Again) => {}
            Err(error) => {
                let status = refuse(error);
                // If the stream is not live any more, somebody else has taken back already.
                if self.is_live() {
                    self.controller.take_back().await;
                }
                return Err(status);
            }
        }
        Ok(Down::Acknowledged(Acknowledged { spool_epoch: self.epoch.clone(), seq: report.seq }))
    }

    /// Notes that the stream has ended.
    pub(crate) fn end(&self) {
        let mut state = self.controller.state();
        if let Some(known) = state.hosts.get_mut(&self.host)
            && is_live(known, self.number)
        {
            known.live = None;
        }
    }
}

fn is_live(known: &KnownHost, number: u64) -> bool {
    known.live.as_ref().is_some_and(|live| live.number == number)
}

fn revoked(host: &HostId) -> Status {
    Status::permission_denied(format!("host {host} is revoked: enrol it again with a new token"))
}

/// Sends the newest policy whenever there is one, or what changed of the one that was sent before; those in between may be left out.
async fn push(mut policies: Policies, deltas: bool, whole: &Notify, down: &Sender) -> Result<(), Status> {
    let mut sent: Option<Arc<HostPolicy>> = None;
    loop {
        let policy = policies.borrow_and_update().clone();
        if let Some(policy) = policy {
            let body = next_policy(sent.as_deref().filter(|_| deltas), &policy);
            let message = ControllerMessage { body: Some(body) };
            if is_too_large(&message) {
                tracing::error!(
                    generation = policy.generation,
                    "the policy of this host is larger than it takes, and it keeps the one that it has: let rules name fewer services or addresses"
                );
            } else if down.send(Ok(message)).await.is_err() {
                return Ok(());
            } else {
                sent = Some(policy);
            }
        }
        tokio::select! {
            changed = policies.changed() => {
                if changed.is_err() {
                    // Whoever waits for this says why.
                    return std::future::pending().await;
                }
            }
            () = whole.notified() => sent = None,
        }
    }
}

/// Asks the host what it is to be asked.
async fn ask(mut questions: mpsc::Receiver<v1::Preview>, down: &Sender) -> Result<(), Status> {
    while let Some(question) = questions.recv().await {
        let message = ControllerMessage { body: Some(Down::Preview(question)) };
        // Who asks is told that this host did not say.
        if !is_too_large(&message) && down.send(Ok(message)).await.is_err() {
            return Ok(());
        }
    }
    // Nobody asks any more; the other parts say when the stream ends.
    std::future::pending().await
}

/// Whether the host would not take it, but end the stream, and with it all that it tells.
fn is_too_large(message: &ControllerMessage) -> bool {
    message.encoded_len() > limits::MAX_POLICY_MESSAGE
}

/// What changed since `sent`, if that is less than half of the whole.
pub(crate) fn next_policy(sent: Option<&HostPolicy>, policy: &HostPolicy) -> Down {
    if let Some(sent) = sent.filter(|sent| sent.generation < policy.generation) {
        let delta = HostDelta::between(sent, policy);
        if delta.size() <= policy.size() / 2 {
            return Down::PolicyDelta((&delta).into());
        }
    }
    Down::Policy(policy.into())
}

/// Tells whom to believe, at once and whenever it changes.
async fn tell_trust(mut trust: watch::Receiver<Arc<Trust>>, down: &Sender) -> Result<(), Status> {
    loop {
        let cas = trust.borrow_and_update().cas();
        let body = Down::Trust(v1::Trust { cas });
        if down.send(Ok(ControllerMessage { body: Some(body) })).await.is_err() {
            return Ok(());
        }
        if trust.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// A line of a heartbeat, cut to what is kept of it.
fn line(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_LINE));
    text
}
