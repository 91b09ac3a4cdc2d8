//! Events.

use std::pin::Pin;

use cnnf_rpc::v1::event_service_server::EventService;
use cnnf_rpc::v1::*;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, page};

#[tonic::async_trait]
impl EventService for Controller {
    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let (events, next_token) = page(&answers::events(), self.admit(request)?.page);
        Ok(Response::new(ListEventsResponse { events, next_token }))
    }

    async fn get_event(&self, request: Request<GetEventRequest>) -> Answer<Event> {
        let id = self.admit(request)?.id;
        let found = answers::events().into_iter().find(|event| event.id == id);
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("there is no event {id}: see 'cnnfctl events list'")))
    }

    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    /// All events; of service "ending" none and the end, of "breaking" one and a break as long as there are some, else nothing more ever.
    async fn watch_events(&self, request: Request<WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let WatchEventsRequest { service, cursor, .. } = self.admit(request)?;
        if service == "ending" {
            return Ok(Response::new(Box::pin(tokio_stream::empty())));
        }
        if service == "breaking" {
            let seen: usize = cursor.parse().unwrap_or(0);
            let next = answers::events()
                .into_iter()
                .nth(seen)
                .map(|event| Event { cursor: Some((seen + 1).to_string()), ..event });
            let mut answer: Response<Self::WatchEventsStream> = Response::new(match next {
                Some(event) => Box::pin(tokio_stream::iter([Ok(event), Err(Status::unavailable("it broke"))])),
                None => Box::pin(tokio_stream::pending()),
            });
            answer.metadata_mut().insert("cursor", seen.into());
            return Ok(answer);
        }
        let events = tokio_stream::iter(answers::events().into_iter().map(Ok));
        Ok(Response::new(Box::pin(events.chain(tokio_stream::pending()))))
    }

    async fn acknowledge_event(&self, request: Request<AcknowledgeEventRequest>) -> Answer<Event> {
        let AcknowledgeEventRequest { id, note } = self.admit(request)?;
        let found = answers::events().into_iter().find(|event| event.id == id);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no event {id}")))?;
        Ok(Response::new(Event { acknowledged: true, note, ..found }))
    }
}
