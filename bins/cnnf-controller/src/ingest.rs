//! From a host's report to the state and the store.

use std::net::IpAddr;

use cnnf_core::directory::Directory;
use cnnf_core::event::{ConnectionEvent, EventKind, EventParty, Notice, Process};
use cnnf_core::id::HostId;
use cnnf_core::policy::{RuleHits, Vantage};
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::{self, ConvertError};
use cnnf_rpc::v1;
use cnnf_rpc::v1::report::Body;
use cnnf_store::{Cursor, EdgePatch, Intake, Inventory, NewEvent, Pending, Subject, Taken};

use crate::changes::Topic;
use crate::controller::Controller;
use crate::state::quota::Quota;
use crate::state::{Learned, State};

/// Takes a report into the state and queues it for the store; durable once the answer resolves. Reports of one host come here in order.
///
/// A report that cannot be read is counted as a gap: it would be no better a second time. `None` if `stream` is not the host's stream any
/// more: then a report before this one may be lost on its way, and this one must not pass it.
pub(crate) fn take_in(
    controller: &Controller,
    host: &HostId,
    epoch: &str,
    stream: u64,
    report: v1::Report,
    now: Timestamp,
) -> Option<Pending<Taken>> {
    let cursor = Cursor { epoch: epoch.to_owned(), seq: report.seq };
    let mut intake = Intake {
        host: host.clone(),
        cursor: cursor.clone(),
        at: now,
        inventory: None,
        edges: EdgePatch::default(),
        counted: Vec::new(),
        models: Vec::new(),
        events: Vec::new(),
        hits: Vec::new(),
    };
    let mut state = controller.state();
    let live = state.hosts.get(host).and_then(|known| known.live.as_ref());
    if live.is_none_or(|live| live.number != stream) {
        return None;
    }
    let again = state
        .hosts
        .get(host)
        .and_then(|known| known.cursor.as_ref())
        .is_some_and(|known| known.epoch == cursor.epoch && cursor.seq <= known.seq);
    if !again {
        let read = report.body.map_or_else(|| Err(ConvertError::new("body", "is missing")), read);
        let learned = match read {
            Ok(content) => {
                let skew = state.hosts.get(host).map_or(0, |known| known.skew_ms);
                let content = content.shifted(skew);
                let content = match state.hosts.get_mut(host) {
                    Some(known) => content.within(&mut known.quota, now),
                    None => Some(content),
                };
                content.map_or_else(Learned::default, |content| absorb(&mut state, host, content, &mut intake, now))
            }
            Err(error) => {
                tracing::warn!(%host, seq = cursor.seq, %error, "a report cannot be read");
                intake.events.push(gap(host, format!("a report could not be read: {error}"), 1, now));
                Learned::default()
            }
        };
        if learned.policy_changed {
            controller.resolve_soon.notify_one();
        }
        if intake.inventory.is_some() || !learned.is_empty() {
            controller.changes.note(Topic::Topology);
        }
        if !learned.models.is_empty() {
            controller.changes.note(Topic::Models);
        }
        intake.edges.put.extend(learned.edges.put);
        intake.edges.gone.extend(learned.edges.gone);
        intake.edges.renamed.extend(learned.edges.renamed);
        intake.counted.extend(learned.counted);
        intake.models.extend(learned.models);
        intake.events.extend(learned.events);
        if let Some(known) = state.hosts.get_mut(host) {
            known.cursor = Some(cursor);
            if let Some(refused) = known.quota.tell(now) {
                tracing::warn!(%host, refused, "a host brings more than one may: not all is taken in");
                let what =
                    "more was brought than one host may: not all was taken in ('cnnfctl defenders show' has numbers)";
                intake.events.push(gap(host, what.to_owned(), refused, now));
            }
        }
    }
    // Queued under the lock, so that the store sees changes in the order in which the state made them. Of a report that is known already
    // the store still says when it is durable.
    Some(controller.store.take_in(intake))
}

/// A report's content in the core's words.
enum Content {
    Flows(Vec<cnnf_core::flow::FlowRecord>),
    Inventory(Inventory),
    Events(Vec<ConnectionEvent>),
    Gap(convert::flow::Gap),
    Notice(Box<Notice>),
    Hits(Vec<RuleHits>),
}

impl Content {
    /// What of it is taken in; `None` for nothing.
    fn within(mut self, quota: &mut Quota, now: Timestamp) -> Option<Self> {
        match &mut self {
            Self::Flows(records) => quota.flows(records, now),
            Self::Events(events) => quota.events(events, now),
            Self::Inventory(inventory) => quota.inventory(inventory),
            Self::Notice(_) | Self::Gap(_) => return quota.event(now).then_some(self),
            Self::Hits(_) => {}
        }
        Some(self)
    }

    /// By our clock instead of the host's.
    fn shifted(mut self, ms: i64) -> Self {
        let shift = |at: &mut Timestamp| *at = at.shifted(ms);
        match &mut self {
            Self::Flows(records) => records.iter_mut().for_each(|record| {
                shift(&mut record.stats.first);
                shift(&mut record.stats.last);
            }),
            Self::Events(events) => events.iter_mut().for_each(|event| {
                shift(&mut event.at);
                event.process.started.iter_mut().for_each(shift);
            }),
            Self::Notice(notice) => {
                shift(&mut notice.at);
                notice.process.started.iter_mut().for_each(shift);
            }
            Self::Hits(hits) => hits.iter_mut().for_each(|hits| shift(&mut hits.last)),
            Self::Inventory(_) | Self::Gap(_) => {}
        }
        self
    }
}

fn read(body: Body) -> Result<Content, ConvertError> {
    Ok(match body {
        Body::Flows(flows) => Content::Flows(convert::flow::flows(flows)?),
        Body::Inventory(inventory) => {
            let read = convert::flow::Inventory::try_from(inventory)?;
            Content::Inventory(Inventory { addresses: read.addresses, instances: read.instances })
        }
        Body::Events(events) => Content::Events(convert::event::events(events)?),
        Body::Gap(gap) => Content::Gap(gap.try_into()?),
        Body::Notice(notice) => Content::Notice(Box::new(notice.try_into()?)),
        Body::Hits(hits) => Content::Hits(convert::flow::hits(hits)?),
    })
}

fn absorb(state: &mut State, host: &HostId, content: Content, intake: &mut Intake, now: Timestamp) -> Learned {
    match content {
        Content::Flows(records) => state.absorb(host, &records, now),
        Content::Inventory(inventory) => match state.replace_inventory(host, &inventory, now) {
            None => Learned::default(),
            Some(events) => {
                intake.inventory = Some(inventory);
                intake.events.extend(events);
                state.reresolve(now)
            }
        },
        Content::Events(events) => {
            intake.events.extend(events.into_iter().map(|event| complete(event, host, &state.directory, now)));
            Learned::default()
        }
        Content::Hits(hits) => {
            // one that was deleted meanwhile is in nobody's list; the next change of the rules forgets it
            for hits in hits.into_iter().filter(|hits| hits.rule.0 <= state.last_rule) {
                let hits = RuleHits { last: hits.last.min(now), ..hits };
                let rule_use = state.uses.entry(hits.rule).or_default();
                rule_use.hits = rule_use.hits.saturating_add(hits.connections);
                rule_use.last_used = rule_use.last_used.max(Some(hits.last));
                intake.hits.push(hits);
            }
            Learned::default()
        }
        Content::Notice(notice) => {
            let Notice { at, kind, message, process, count } = *notice;
            let process = (process != Process::default()).then_some(process);
            let subject = Subject::System { host: Some(host.clone()), message };
            intake.events.push(NewEvent { kind, subject, process, count, at: at.min(now) });
            Learned::default()
        }
        Content::Gap(lost) => {
            let what = if lost.what.is_empty() { "observations" } else { &lost.what };
            intake.events.push(gap(host, format!("{what} were lost"), lost.lost.max(1), now));
            Learned::default()
        }
    }
}

fn gap(host: &HostId, message: String, count: u64, at: Timestamp) -> NewEvent {
    NewEvent {
        kind: EventKind::Gap,
        subject: Subject::System { host: Some(host.clone()), message },
        process: None,
        count,
        at,
    }
}

/// Adds what only the controller knows. Of the reporting host's own end its word counts; who the other end is, it cannot say.
fn complete(event: ConnectionEvent, reporter: &HostId, directory: &Directory, now: Timestamp) -> NewEvent {
    let ConnectionEvent { at, kind, mut client, mut server, protocol, reason, side, process, count } = event;
    let (near, far) = match side {
        Vantage::Client => (&mut client, &mut server),
        Vantage::Server => (&mut server, &mut client),
    };
    near.host = Some(reporter.clone());
    let same_host = is_on(directory, reporter, far.address);
    far.host =
        if same_host { Some(reporter.clone()) } else { directory.host_of(far.address).map(|(id, _)| id.clone()) };
    if !same_host {
        far.service = None;
    }
    let listens = |party: &EventParty| {
        let host = directory.host(party.host.as_ref()?)?;
        host.service_at(protocol, party.address, party.port).cloned()
    };
    if server.service.is_none() {
        server.service = listens(&server);
    }
    // The client's port varies; it is not what the event is about.
    client.port = 0;
    let process = (process != Process::default()).then_some(process);
    NewEvent {
        kind,
        subject: Subject::Connection { client, server, protocol, reason, side },
        process,
        count: count.max(1),
        at: at.min(now),
    }
}

fn is_on(directory: &Directory, host: &HostId, address: IpAddr) -> bool {
    address.is_loopback() || directory.host(host).is_some_and(|host| host.addresses.contains(&address))
}
