//! What has changed.

use std::pin::Pin;

use cnnf_rpc::v1::watch_service_server::WatchService;
use cnnf_rpc::v1::*;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::{Answer, Controller};

#[tonic::async_trait]
impl WatchService for Controller {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<Changes, Status>> + Send>>;

    /// That everything is at its first revision; then nothing until it is cut.
    async fn watch_changes(&self, request: Request<WatchChangesRequest>) -> Answer<Self::WatchChangesStream> {
        self.admit(request)?;
        let mut cuts = self.cuts.subscribe();
        let topics = ["topology", "events", "fleet"];
        let first = Changes {
            epoch: "first run".into(),
            revisions: topics.map(|topic| (topic.to_owned(), 1)).into(),
            changed: topics.map(str::to_owned).into(),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let _ = cuts.changed().await;
            let _ = sender.send(Err(Status::unavailable("it was cut"))).await;
        });
        let rest = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(first)).chain(rest))))
    }
}
