//! Calls that got no answer are made again. By the key that each has, the controller makes none of them twice.

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Channel;
use tonic::{Code, Status, TimeoutExpired};

/// How often a call is made at most: all in all it waits for some 3 s, so that it outlives a restart of the controller.
const TRIES: u32 = 6;
/// A random part of this is waited for before the second try, and of twice as much each further time.
const WAIT: Duration = Duration::from_millis(200);

/// A connection to the controller.
#[derive(Clone)]
pub(crate) struct Repeat(pub(crate) Channel);

type Failed = Box<dyn Error + Send + Sync>;
type Answer = Result<Response<Body>, Failed>;

impl Service<Request<Body>> for Repeat {
    type Response = Response<Body>;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        // Each try asks for itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut channel = self.0.clone();
        Box::pin(async move {
            // No call of ours sends more than one message.
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let mut tries = 1;
            loop {
                let request = Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())));
                let answer = once(&mut channel, request).await;
                if tries == TRIES || !has_no_answer(&answer) {
                    return answer;
                }
                let most = WAIT.saturating_mul(1 << (tries - 1));
                tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
                tries += 1;
            }
        })
    }
}

async fn once(channel: &mut Channel, request: Request<Body>) -> Answer {
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    Ok(channel.call(request).await?)
}

/// Whether the connection broke, or the controller says that it cannot answer at the moment.
fn has_no_answer(answer: &Answer) -> bool {
    match answer {
        Ok(answer) => {
            Status::from_header_map(answer.headers()).is_some_and(|status| status.code() == Code::Unavailable)
        }
        Err(error) => {
            let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
            while let Some(error) = cause {
                // Time that is over is over.
                if error.is::<TimeoutExpired>() {
                    return false;
                }
                cause = error.source();
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_answer_is_made_again() {
        for (code, again) in [
            (Code::Unavailable, true),
            (Code::Ok, false),
            (Code::Aborted, false),
            (Code::FailedPrecondition, false),
            (Code::DeadlineExceeded, false),
            (Code::ResourceExhausted, false),
        ] {
            assert_eq!(has_no_answer(&Ok(Status::new(code, "x").into_http())), again, "{code:?}");
        }
        assert!(has_no_answer(&Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())));
        assert!(!has_no_answer(&Err(TimeoutExpired(()).into())));
    }
}
