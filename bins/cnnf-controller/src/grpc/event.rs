//! Events.

use std::sync::Arc;
use std::time::Duration;

use cnnf_core::event::{EventKind, EventParty};
use cnnf_core::id::ServiceKey;
use cnnf_core::policy::Reason;
use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::{page_size, text, time_range, time_text};
use cnnf_rpc::convert::event::side_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::event_service_server::EventService;
use cnnf_store::{EventQuery, StoreError, StoredEvent, Subject};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::page::bad;
use super::{Api, caller, word};
use crate::controller::{Controller, refuse};
use crate::state::State;

/// Events that a watcher's task has in hand at most. What comes beside waits in the store.
const AT_ONCE: usize = 64;
/// The least time between two looks into the store for one watcher.
const PAUSE: Duration = Duration::from_millis(50);

#[tonic::async_trait]
impl EventService for Api {
    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let request = request.into_inner();
        let (kind, services) = filter(&self.0, &request.kind, &request.service)?;
        let (since, until) = time_range("time", request.time.as_ref())?;
        let before =
            request.page.as_ref().filter(|page| !page.token.is_empty()).map(|page| place(&page.token)).transpose()?;
        let query = EventQuery { kind, services, since, until, open: false, before };
        let size = page_size(request.page.as_ref());
        let mut found = self
            .0
            .aside(move |controller| controller.store.events(&query, size.saturating_add(1)).map_err(refuse))
            .await?;
        let mut next_token = String::new();
        if found.len() > size {
            found.truncate(size);
            next_token = found.last().map(|event| format!("{}:{}", event.last.0, event.id)).unwrap_or_default();
        }
        let state = self.0.state();
        let events = found.iter().map(|event| listed(&state, event)).collect();
        Ok(Response::new(v1::ListEventsResponse { events, next_token }))
    }

    async fn get_event(&self, request: Request<v1::GetEventRequest>) -> Result<Response<v1::Event>, Status> {
        let id = request.into_inner().id;
        let event = self.0.aside(move |controller| controller.store.event(id).map_err(refuse)).await?;
        let event = event.ok_or_else(|| no_event(id))?;
        Ok(Response::new(listed(&self.0.state(), &event)))
    }

    type WatchEventsStream = ReceiverStream<Result<v1::Event, Status>>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let request = request.into_inner();
        let (kind, _) = filter(&self.0, &request.kind, &request.service)?;
        let newest = self.0.aside(|controller| controller.store.newest_event_change().map_err(refuse)).await?;
        let mut seen = match request.cursor.as_str() {
            "" => newest,
            text => cursor(text, newest)?,
        };
        let begin = MetadataValue::from(seen);
        let (sender, receiver) = mpsc::channel(16);
        let controller = Arc::clone(&self.0);
        let mut woken = controller.alerts.wake.subscribe();
        // Something may have been stored since.
        woken.mark_changed();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = controller.ended() => {
                        let _ = sender.send(Err(Status::unavailable("the controller is ending"))).await;
                        return;
                    }
                    () = sender.closed() => return,
                    woken = woken.changed() => if woken.is_err() { return },
                }
                let next = Instant::now() + PAUSE;
                loop {
                    // Read and not handed on by whoever stored them: so they come in the order of their changes, and a slow caller holds nothing up.
                    let read = move |controller: &Controller| {
                        controller.store.events_changed_after(seen, AT_ONCE).map_err(refuse)
                    };
                    let found = match controller.aside(read).await {
                        Ok(found) => found,
                        Err(status) => {
                            let _ = sender.send(Err(status)).await;
                            return;
                        }
                    };
                    let Some(last) = found.last() else { break };
                    seen = last.change;
                    for event in found {
                        let answer = {
                            // A service's short name may come to mean another one while it is watched.
                            let services = services_named(&controller, &request.service);
                            let wanted = is_wanted(&event, kind, services.as_deref());
                            wanted.then(|| listed(&controller.state(), &event))
                        };
                        if let Some(answer) = answer
                            && sender.send(Ok(answer)).await.is_err()
                        {
                            return;
                        }
                    }
                }
                sleep_until(next).await;
            }
        });
        let mut answer = Response::new(ReceiverStream::new(receiver));
        answer.metadata_mut().insert("cursor", begin);
        Ok(answer)
    }

    async fn acknowledge_event(
        &self,
        request: Request<v1::AcknowledgeEventRequest>,
    ) -> Result<Response<v1::Event>, Status> {
        let who = caller(&request);
        let v1::AcknowledgeEventRequest { id, note } = request.into_inner();
        let note = text("note", note)?;
        let after = serde_json::json!({"note": note});
        let record = who.record("event.acknowledge", &id.to_string(), None, Some(after));
        let event = self.0.store.acknowledge_event(id, note, record).await.map_err(|error| match error {
            StoreError::NotFound(_) => no_event(id),
            error => refuse(error),
        })?;
        let answer = listed(&self.0.state(), &event);
        self.0.publish(vec![event]);
        Ok(Response::new(answer))
    }
}

fn no_event(id: u64) -> Status {
    Status::not_found(format!("there is no event {id}: 'cnnfctl events list' shows them"))
}

type Filter = (Option<EventKind>, Option<Vec<ServiceKey>>);

fn filter(controller: &Controller, kind: &str, service: &str) -> Result<Filter, Status> {
    let kind = if kind.is_empty() { None } else { Some(word("kind", kind)?) };
    Ok((kind, services_named(controller, service)))
}

/// The services that are wanted; `None` for all.
fn services_named(controller: &Controller, name: &str) -> Option<Vec<ServiceKey>> {
    (!name.is_empty()).then(|| controller.snapshot().services_like(name))
}

fn is_wanted(event: &StoredEvent, kind: Option<EventKind>, services: Option<&[ServiceKey]>) -> bool {
    let named = services.is_none_or(|services| match &event.subject {
        Subject::Connection { client, server, reason, .. } => {
            let model = if let Reason::Model(key) = reason { Some(key) } else { None };
            [client.service.as_ref(), server.service.as_ref(), model]
                .into_iter()
                .flatten()
                .any(|key| services.contains(key))
        }
        Subject::System { .. } => false,
    });
    named && kind.is_none_or(|kind| kind == event.kind)
}

/// Where a watcher goes on from; nobody has seen what has not happened.
fn cursor(text: &str, newest: u64) -> Result<u64, Status> {
    let seen = text.parse().map_err(|_| ConvertError::new("cursor", "is not that of an event"))?;
    if seen <= newest {
        return Ok(seen);
    }
    Err(Status::out_of_range(format!(
        "cursor {seen} is of no event here, the newest is {newest}: was a backup restored? List events and watch anew"
    )))
}

/// Where a page of events ended: its last event's time and number.
fn place(token: &str) -> Result<(Timestamp, u64), Status> {
    let (last, id) = token.split_once(':').ok_or_else(bad)?;
    Ok((Timestamp(last.parse().map_err(|_| bad())?), id.parse().map_err(|_| bad())?))
}

/// An event as callers get it, who may go on watching from there.
fn listed(state: &State, event: &StoredEvent) -> v1::Event {
    v1::Event { cursor: Some(event.change.to_string()), ..message(state, event) }
}

/// An event as callers and alert channels get it.
pub(crate) fn message(state: &State, event: &StoredEvent) -> v1::Event {
    let mut out = v1::Event {
        id: event.id,
        kind: event.kind.to_string(),
        count: event.count,
        first_seen: time_text(event.first),
        last_seen: time_text(event.last),
        process: event.samples.first().map(Into::into),
        samples: event.samples.iter().map(Into::into).collect(),
        acknowledged: event.acknowledged,
        note: event.note.clone(),
        ..v1::Event::default()
    };
    match &event.subject {
        Subject::Connection { client, server, protocol, reason, side } => {
            let party = |party: &EventParty| v1::EventParty {
                host: party.host.as_ref().map(|id| state.host_name(id)).unwrap_or_default(),
                ..party.into()
            };
            out.client = Some(party(client));
            out.server = Some(party(server));
            out.protocol = protocol.to_string();
            out.port = server.port.into();
            out.side = side_text(*side).to_owned();
            match reason {
                Reason::Rule { id, name, revision } => {
                    out.rule_id = id.0;
                    out.rule.clone_from(name);
                    out.rule_revision = *revision;
                }
                Reason::Model(key) => out.model = key.to_string(),
                Reason::OtherSide | Reason::Default => {}
            }
        }
        Subject::System { host, message } => {
            out.host = host.as_ref().map(|id| state.host_name(id)).unwrap_or_default();
            out.message.clone_from(message);
        }
    }
    out
}
