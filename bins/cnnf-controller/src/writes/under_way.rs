//! Calls with keys that are being made, and the answers that are not written to the disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cnnf_store::Once;
use tonic::Status;

use super::answer::Answer;
use super::key;

/// For so long an answer with a secret is known, in memory only.
const SECRET_KEPT: Duration = Duration::from_secs(600);
/// So many of them at most.
const MAX_SECRETS: usize = 256;

type Id = (String, String);

enum Entry {
    /// It is being made.
    Begun,
    /// It was made and has a secret.
    Secret { request: String, answer: Answer, at: Instant },
}

/// What is being made. Bounded by what connections may ask at the same time.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<HashMap<Id, Entry>>);

/// What is known of a call.
pub(super) enum Known<'a> {
    /// Nothing: it may be made while this is held.
    Not(Place<'a>),
    /// Its answer.
    Answer(Answer),
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call.
    ///
    /// # Errors
    /// If its twin is under way, or if its key was another's.
    pub(super) fn begin(&self, once: &Once) -> Result<Known<'_>, Status> {
        let id = (once.caller.clone(), once.key.clone());
        let mut entries = self.lock();
        entries.retain(|_, entry| !matches!(entry, Entry::Secret { at, .. } if at.elapsed() > SECRET_KEPT));
        match entries.get(&id) {
            None => {}
            Some(Entry::Begun) => {
                return Err(Status::unavailable(
                    "the call with this idempotency key is being made: ask again in a moment",
                ));
            }
            Some(Entry::Secret { request, answer, .. }) => {
                key::same(once, request)?;
                return Ok(Known::Answer(answer.clone()));
            }
        }
        entries.insert(id.clone(), Entry::Begun);
        Ok(Known::Not(Place { all: self, id, request: once.request.clone(), answer: None }))
    }
}

/// A call that is being made.
pub(super) struct Place<'a> {
    all: &'a UnderWay,
    id: Id,
    request: String,
    answer: Option<Answer>,
}

impl Place<'_> {
    /// It is made, and answered with a secret.
    pub(super) fn keep(mut self, answer: Answer) {
        self.answer = Some(answer);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut entries = self.all.lock();
        entries.remove(&self.id);
        let Some(answer) = self.answer.take() else { return };
        let secrets = entries.iter().filter_map(|(id, entry)| match entry {
            Entry::Secret { at, .. } => Some((*at, id.clone())),
            Entry::Begun => None,
        });
        let secrets: Vec<_> = secrets.collect();
        if secrets.len() >= MAX_SECRETS
            && let Some((_, oldest)) = secrets.into_iter().min()
        {
            entries.remove(&oldest);
        }
        let entry = Entry::Secret { request: std::mem::take(&mut self.request), answer, at: Instant::now() };
        entries.insert(std::mem::take(&mut self.id), entry);
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::time::Timestamp;
    use tonic::Code;

    use super::*;

    fn once(key: &str) -> Once {
        Once { caller: "token ci".into(), key: key.into(), request: "r".into(), at: Timestamp(1) }
    }

    fn begin<'a>(all: &'a UnderWay, once: &Once) -> Place<'a> {
        match all.begin(once) {
            Ok(Known::Not(place)) => place,
            _ => panic!("{once:?} is known"),
        }
    }

    #[test]
    fn a_twin_waits_and_others_do_not() {
        let all = UnderWay::default();
        let first = begin(&all, &once("a"));
        let twin = all.begin(&once("a")).err().expect("it is under way");
        assert_eq!(twin.code(), Code::Unavailable);
        begin(&all, &once("b"));
        begin(&all, &Once { caller: "token cd".into(), ..once("a") });
        drop(first);
        begin(&all, &once("a"));
    }

    #[test]
    fn a_few_answers_with_a_secret_are_known() {
        let all = UnderWay::default();
        for n in 0..=MAX_SECRETS {
            begin(&all, &once(&format!("k{n}"))).keep(Answer::default());
        }
        assert!(matches!(all.begin(&once("k1")), Ok(Known::Answer(_))));
        let other = all.begin(&Once { request: "s".into(), ..once("k1") }).err().expect("another request");
        assert_eq!(other.code(), Code::FailedPrecondition);
        begin(&all, &once("k0"));
    }
}
