//! An answer that is yet to come, without a runtime: it can be awaited or waited for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::StoreError;

/// The result of a queued write. Dropping it does not undo the write.
#[must_use = "a write is only known to be durable once this resolves"]
pub struct Pending<T> {
    shared: Arc<Shared<T>>,
}

/// The writer's end of a [`Pending`]. Dropped without an answer it answers [`StoreError::Shut`].
pub(crate) struct Promise<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    arrived: Condvar,
}

struct Slot<T> {
    answer: Option<Result<T, StoreError>>,
    waker: Option<Waker>,
}

/// Both ends.
pub(crate) fn pending<T>() -> (Promise<T>, Pending<T>) {
    let shared = Arc::new(Shared { slot: Mutex::new(Slot { answer: None, waker: None }), arrived: Condvar::new() });
    (Promise { shared: Arc::clone(&shared) }, Pending { shared })
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Result<T, StoreError>) {
        let mut slot = self.lock();
        slot.answer = Some(answer);
        let waker = slot.waker.take();
        drop(slot);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Promise<T> {
    pub(crate) fn keep(self, answer: Result<T, StoreError>) {
        self.shared.answer(answer);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // After `keep` nobody else holds an answer to be overwritten: the slot is either full or already taken.
        let slot = self.shared.lock();
        if slot.answer.is_none() && Arc::strong_count(&self.shared) > 1 {
            drop(slot);
            self.shared.answer(Err(StoreError::Shut));
        }
    }
}

impl<T> Pending<T> {
    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// What the write met.
    pub fn wait(self) -> Result<T, StoreError> {
        let mut slot = self.shared.lock();
        loop {
            if let Some(answer) = slot.answer.take() {
                return answer;
            }
            slot = self.shared.arrived.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.lock();
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
