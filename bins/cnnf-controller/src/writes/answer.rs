//! What a call was answered with, as it is kept and given again.

use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, header};
use tonic::{Code, Status};

/// Marks an answer that was given before.
const AGAIN: &str = "idempotency-replayed";

/// An answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Answer {
    /// gRPC's status code.
    #[prost(int32, tag = "1")]
    code: i32,
    /// What a refusal says.
    #[prost(string, tag = "2")]
    message: String,
    /// And its details.
    #[prost(bytes = "vec", tag = "3")]
    details: Vec<u8>,
    /// The message, framed as it was sent. Answers are not compressed.
    #[prost(bytes = "vec", tag = "4")]
    body: Vec<u8>,
}

impl Answer {
    /// Takes an answer in.
    pub(super) async fn of(answer: Response<Body>) -> Result<Self, Status> {
        let (head, body) = answer.into_parts();
        let body = body.collect().await?;
        // A refusal has no message, and its status may be in the head.
        let status = Status::from_header_map(&head.headers)
            .or_else(|| body.trailers().and_then(Status::from_header_map))
            .unwrap_or_else(|| Status::internal("the answer has no status"));
        Ok(Self {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
            body: body.to_bytes().to_vec(),
        })
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.code != i32::from(Code::Ok)
    }

    pub(super) fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// What was written; `None` if this version cannot read it.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        Self::decode(text).ok()
    }

    /// For the call that was made.
    pub(super) fn first(self) -> Response<Body> {
        if self.is_refusal() {
            return Status::with_details(Code::from(self.code), self.message, self.details.into()).into_http();
        }
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
        let body = Full::new(self.body.into()).with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut answer = Response::new(Body::new(body));
        answer.headers_mut().insert(header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
        answer
    }

    /// For one that repeats it.
    pub(super) fn again(self) -> Response<Body> {
        let mut answer = self.first();
        answer.headers_mut().insert(AGAIN, HeaderValue::from_static("true"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn round(answer: Response<Body>) -> (Answer, Answer) {
        let first = Answer::of(answer).await.expect("an answer");
        let kept = Answer::read(&first.write()).expect("it reads");
        let again = kept.again();
        assert_eq!(again.headers()[AGAIN], "true");
        (first, Answer::of(again).await.expect("an answer"))
    }

    #[tokio::test]
    async fn what_is_given_again_is_what_was_given() {
        let refusal = Status::with_details(Code::NotFound, "there is no rule 'a b%'", vec![1, 2, 255].into());
        let (first, again) = round(refusal.into_http()).await;
        assert!(first.is_refusal() && first.message == "there is no rule 'a b%'" && first.details == [1, 2, 255]);
        assert_eq!(first, again);
        let done = Answer { body: vec![0, 0, 0, 0, 2, 8, 1], ..Answer::default() };
        let (first, again) = round(done.clone().first()).await;
        assert_eq!((&first, &again), (&done, &done));
        assert!(!first.is_refusal());
    }
}
