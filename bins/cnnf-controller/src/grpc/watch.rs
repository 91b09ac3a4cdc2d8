//! Tells that something has changed.

use std::sync::Arc;
use std::time::Duration;

use cnnf_rpc::v1;
use cnnf_rpc::v1::watch_service_server::WatchService;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Api;
use crate::changes::Revisions;

/// The least time between two answers.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest time without one.
const ALIVE: Duration = Duration::from_secs(15);

#[tonic::async_trait]
impl WatchService for Api {
    type WatchChangesStream = ReceiverStream<Result<v1::Changes, Status>>;

    async fn watch_changes(
        &self,
        request: Request<v1::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let v1::WatchChangesRequest { epoch, revisions } = request.into_inner();
        let controller = Arc::clone(&self.0);
        let mut seen =
            if epoch == controller.changes.epoch { Revisions::read(&revisions) } else { Revisions::default() };
        let mut counted = controller.changes.watch();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let now = *counted.borrow_and_update();
                let answer = v1::Changes {
                    epoch: controller.changes.epoch.clone(),
                    revisions: now.write(),
                    changed: now.since(seen),
                };
                seen = now;
                // Waits while the caller is slow: what changes meanwhile is told together then.
                if sender.send(Ok(answer)).await.is_err() {
                    return;
                }
                let next = Instant::now() + PAUSE;
                tokio::select! {
                    () = controller.ended() => {
                        let _ = sender.send(Err(Status::unavailable("the controller is ending"))).await;
                        return;
                    }
                    () = sender.closed() => return,
                    _ = timeout(ALIVE, counted.changed()) => {}
                }
                sleep_until(next).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
