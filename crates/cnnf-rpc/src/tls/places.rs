//! Places for those whom nobody knows yet: few, and the oldest gives way, so that whoever takes many cannot keep others out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// A bounded number of places.
#[derive(Clone)]
pub(super) struct Places(Arc<Mutex<Held>>);

struct Held {
    most: usize,
    next: u64,
    /// By age. Dropping a sender takes the place away.
    by_age: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Held { most, next: 0, by_age: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place. If all are taken, whoever has theirs for longest loses it.
    pub(super) fn take(&self) -> Place {
        let (keep, lost) = oneshot::channel();
        let mut held = self.lock();
        if held.by_age.len() >= held.most {
            held.by_age.pop_first();
        }
        let number = held.next;
        held.next += 1;
        held.by_age.insert(number, keep);
        Place { places: self.clone(), number, lost }
    }
}

/// A place; given back when it is dropped.
pub(super) struct Place {
    places: Places,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Place {
    /// Ready once it is another's.
    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.lost).poll(cx).map(|_| ())
    }

    /// Resolves once it is another's.
    pub(super) async fn lost(&mut self) {
        let _ = (&mut self.lost).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by_age.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_gives_way_and_a_place_given_back_is_free() {
        let places = Places::new(2);
        let (mut first, mut second) = (places.take(), places.take());
        let mut third = places.take();
        first.lost().await;
        drop(first);
        let open = |place: &mut Place| place.poll_lost(&mut Context::from_waker(std::task::Waker::noop())).is_pending();
        assert!(open(&mut second) && open(&mut third));
        drop(third);
        let mut fourth = places.take();
        assert!(open(&mut second) && open(&mut fourth), "there was a free one");
    }
}
