//! An answer that lasts no longer than its caller's session or token: what matters for streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::HeaderMap;

use crate::controller::Controller;

/// How often it is looked whether the session or token still counts.
const LOOK: Duration = Duration::from_secs(1);

/// A body that ends with a session or token.
pub(super) struct Revocable {
    inner: Body,
    controller: Arc<Controller>,
    secret_hash: String,
    looks: Interval,
}

impl Revocable {
    /// An answer's body for whoever has this secret.
    pub(super) fn body(inner: Body, controller: Arc<Controller>, secret_hash: String) -> Body {
        // Not at once, as the answer to a sign-out is one after the session's end.
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Body::new(Self { inner, controller, secret_hash, looks })
    }
}

impl HttpBody for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        while self.looks.poll_tick(context).is_ready() {
            if self.controller.people.counts(&self.secret_hash) {
                continue;
            }
            // Whoever makes the stream sees that nobody reads it any more.
            self.inner = Body::empty();
            let mut trailers = HeaderMap::new();
            Status::unauthenticated("the session or API token has ended").add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
