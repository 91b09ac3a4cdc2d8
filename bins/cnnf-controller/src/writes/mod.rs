//! Calls that change something are made to their end, and once if their caller gives them a key.
//!
//! To their end: a handler that is dropped between the store and the state, because its caller went away, would leave the two apart.
//! Once: see [`cnnf_store::Once`] for what is kept, and when.

mod answer;
mod key;
mod under_way;

use std::sync::Arc;
use std::task::{Context, Poll};

use cnnf_rpc::limits;
use http_body_util::{BodyExt as _, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::auth::{Caller, answers_with_a_secret, is_write};
use crate::controller::{Controller, refuse};
use answer::Answer;
use key::Key;
use under_way::Known;
pub(crate) use under_way::UnderWay;

/// Bytes of an answer that are kept at most. Of a longer one it is known that it was given.
const MAX_KEPT: usize = 64 << 10;

/// Puts itself before the services and behind the guard.
#[derive(Clone)]
pub(crate) struct Writes(pub(crate) Arc<Controller>);

impl Layer<Routes> for Writes {
    type Service = Written;

    fn layer(&self, inner: Routes) -> Written {
        Written { inner, controller: Arc::clone(&self.0) }
    }
}

/// The services behind it.
#[derive(Clone)]
pub(crate) struct Written {
    inner: Routes,
    controller: Arc<Controller>,
}

type Answers = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send>>;

impl Service<Request<Body>> for Written {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answers;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request<Body>) -> Answers {
        if !is_write(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        // The one that was asked whether it is ready is the one that is called.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let work = make(Arc::clone(&self.controller), inner, request);
        let task = tokio::spawn(work.in_current_span());
        Box::pin(async move {
            Ok(match task.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(status)) => status.into_http(),
                Err(error) => {
                    tracing::error!(%error, "a call was not made to its end");
                    Status::internal("the call was not made to its end").into_http()
                }
            })
        })
    }
}

/// Makes a call, or says what it was answered with when it was made.
async fn make(
    controller: Arc<Controller>,
    mut inner: Routes,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let Some(key) = Key::of(request.headers())? else { return answered(inner.call(request).await) };
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let whole = Limited::new(body, limits::MAX_POLICY_MESSAGE + limits::MAX_TEXT).collect();
    let body = tokio::time::timeout(limits::DEADLINE, whole)
        .await
        .map_err(|_| Status::deadline_exceeded("the request took too long"))?
        .map_err(|error| Status::resource_exhausted(format!("the request cannot be taken in: {error}")))?
        .to_bytes();
    let Some(caller) = parts.extensions.get_mut::<Caller>() else {
        return Err(Status::internal("nobody has said who calls"));
    };
    let once = key.once(caller, &path, &body);
    caller.once = Some(once.clone());

    let place = match controller.under_way.begin(&once)? {
        Known::Not(place) => place,
        Known::Answer(answer) => return Ok(answer.again()),
    };
    let asked = once.clone();
    let made = controller.aside(move |controller| controller.store.made(&asked).map_err(refuse)).await?;
    if let Some(made) = made {
        key::same(&once, &made.request)?;
        let answer = made.answer.as_deref().and_then(Answer::read).ok_or_else(lost)?;
        tracing::info!(path, "a call was answered as it was before");
        return Ok(answer.again());
    }
    let answer =
        Answer::of(answered(inner.call(Request::from_parts(parts, Body::new(http_body_util::Full::new(body)))).await)?)
            .await?;
    let kept = match (answer.is_refusal(), answers_with_a_secret(&path)) {
        (true, _) => controller.store.keep_refusal(once, answer.write()).await,
        (false, true) => {
            let kept = controller.store.keep_answer(once, None).await;
            place.keep(answer.clone());
            kept
        }
        (false, false) => {
            let text = Some(answer.write()).filter(|text| text.len() <= MAX_KEPT);
            controller.store.keep_answer(once, text).await
        }
    };
    if let Err(error) = kept {
        // It is made: to say otherwise would be worse than not to know it the next time.
        tracing::error!(path, %error, "what a call was answered with could not be kept");
    }
    Ok(answer.first())
}

fn answered(answer: Result<Response<Body>, std::convert::Infallible>) -> Result<Response<Body>, Status> {
    let Ok(answer) = answer;
    Ok(answer)
}

/// Of a call that was made and nobody knows any more how it was answered.
fn lost() -> Status {
    Status::failed_precondition(
        "a call with this idempotency key was made before, but what it was answered with is not known any more (the controller ended at that \
         moment, or the answer was large or had a secret): look at how things are now; nothing was done a second time",
    )
}
