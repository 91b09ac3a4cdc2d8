//! What nobody confirms is undone.

use std::sync::Arc;
use std::time::Duration;

use crate::controller::Controller;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits until a change is to be undone. One that is made meanwhile is seen with the next tick; it may wait for no less.
pub(super) async fn next(controller: &Controller) {
    match controller.confirmation_left() {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Undoes it.
pub(super) async fn undo(controller: &Arc<Controller>) {
    if let Err(status) = controller.undo_unconfirmed().await {
        tracing::error!(error = status.message(), "what was not confirmed could not be undone");
        tokio::time::sleep(AGAIN).await;
    }
}
