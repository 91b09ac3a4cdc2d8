//! The one thread that writes.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::pending::{Pending, pending};

/// Commands that may wait; a caller beyond that waits itself.
const QUEUE: usize = 4096;

/// Commands that go into one transaction at most.
const BATCH: usize = 512;

/// A queued write.
struct Command {
    /// Whether its commit is synced to the disk before it is acknowledged.
    synced: bool,
    /// Writes; what it returns tells the caller, called with what became of the transaction.
    run: Box<dyn FnOnce(&Connection) -> Outcome + Send>,
}

/// Whether the write is to be kept, and who is told after the commit.
struct Outcome {
    keep: bool,
    tell: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// The queue and the thread behind it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, commands) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || serve(connection, &commands))
            .map_err(|error| StoreError::Engine(format!("no thread for the writer: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues `write`. It runs in a transaction with others, but alone within it: if it fails only its own changes are undone.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        synced: bool,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (promise, answer) = pending();
        let run = Box::new(move |connection: &Connection| {
            let result = write(connection);
            Outcome {
                keep: result.is_ok(),
                tell: Box::new(move |committed: Result<(), StoreError>| {
                    promise.keep(result.and_then(|value| committed.map(|()| value)));
                }),
            }
        });
        // A writer that is gone drops the command, which answers `Shut`.
        if let Some(queue) = &self.queue {
            match queue.try_send(Command { synced, run }) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(command)) => drop(queue.send(command)),
            }
        }
        answer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

fn serve(mut connection: Connection, commands: &Receiver<Command>) {
    let mut full_sync = true;
    while let Ok(first) = commands.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(command) = commands.try_recv()
        {
            batch.push(command);
        }
        let synced = batch.iter().any(|command| command.synced);
        if synced != full_sync {
            // Cannot be changed inside a transaction, hence for the whole batch. If it fails the stricter one is in force or the commit
            // says what is wrong.
            let level = if synced { "FULL" } else { "NORMAL" };
            match connection.pragma_update(None, "synchronous", level) {
                Ok(()) => full_sync = synced,
                Err(error) => tracing::warn!(%error, "the sync level could not be changed"),
            }
        }
        commit(&mut connection, batch);
    }
}

fn commit(connection: &mut Connection, batch: Vec<Command>) {
    let mut tell = Vec::with_capacity(batch.len());
    let result = (|| {
        let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for command in batch {
            let savepoint = transaction.savepoint()?;
            let outcome = (command.run)(&savepoint);
            tell.push(outcome.tell);
            if outcome.keep {
                savepoint.commit()?;
            } else {
                savepoint.finish()?;
            }
        }
        transaction.commit()
    })();
    if let Err(error) = &result {
        tracing::error!(%error, "a transaction failed");
    }
    for tell in tell {
        tell(result.as_ref().copied().map_err(StoreError::from_reference));
    }
}
