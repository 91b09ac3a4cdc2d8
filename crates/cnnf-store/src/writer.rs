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

/// What a write is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Stands for itself; its commit is synced to the disk before it is acknowledged.
    Decision,
    /// Stands for itself; not synced.
    Note,
    /// Carries values that its caller counted on top of all observations before it: once one is lost, those after it are refused until
    /// [`Class::Resume`].
    Observation,
    /// As [`Class::Observation`], and synced.
    SyncedObservation,
    /// Its caller counts from what is stored again.
    Resume,
}

impl Class {
    fn is_synced(self) -> bool {
        matches!(self, Self::Decision | Self::SyncedObservation)
    }

    fn is_observation(self) -> bool {
        matches!(self, Self::Observation | Self::SyncedObservation)
    }
}

/// A queued write.
struct Command {
    class: Class,
    /// Writes; what it returns tells the caller, called with what became of the transaction.
    run: Run,
}

/// Told whether observations are refused.
type Run = Box<dyn FnOnce(&Connection, bool) -> Outcome + Send>;

/// Whether the write is to be kept, and who is told after the commit.
struct Outcome {
    keep: bool,
    /// Whether something was lost that others build on.
    lost: bool,
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
        class: Class,
        write: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (promise, answer) = pending();
        let run = Box::new(move |connection: &Connection, suspended: bool| {
            let result =
                if suspended && class.is_observation() { Err(StoreError::Suspended) } else { write(connection) };
            Outcome {
                keep: result.is_ok(),
                lost: class.is_observation() && !matches!(result, Ok(_) | Err(StoreError::NotFound(_))),
                tell: Box::new(move |committed: Result<(), StoreError>| {
                    promise.keep(result.and_then(|value| committed.map(|()| value)));
                }),
            }
        });
        // A writer that is gone drops the command, which answers `Shut`.
        if let Some(queue) = &self.queue {
            match queue.try_send(Command { class, run }) {
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
    let mut suspended = false;
    while let Ok(first) = commands.recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(command) = commands.try_recv()
        {
            batch.push(command);
        }
        let synced = batch.iter().any(|command| command.class.is_synced());
        if synced != full_sync {
            // Cannot be changed inside a transaction, hence for the whole batch. If it fails the stricter one is in force or the commit
            // says what is wrong.
            let level = if synced { "FULL" } else { "NORMAL" };
            match connection.pragma_update(None, "synchronous", level) {
                Ok(()) => full_sync = synced,
                Err(error) => tracing::warn!(%error, "the sync level could not be changed"),
            }
        }
        commit(&mut connection, batch, &mut suspended);
    }
}

fn commit(connection: &mut Connection, batch: Vec<Command>, suspended: &mut bool) {
    let observed = batch.iter().any(|command| command.class.is_observation());
    let mut tell = Vec::with_capacity(batch.len());
    let result = (|| {
        let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for command in batch {
            *suspended &= command.class != Class::Resume;
            let savepoint = transaction.savepoint()?;
            let outcome = (command.run)(&savepoint, *suspended);
            *suspended |= outcome.lost;
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
        *suspended |= observed;
    }
    for tell in tell {
        tell(result.as_ref().copied().map_err(StoreError::from_reference));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().expect("open");
        connection.execute_batch("CREATE TABLE t (x INTEGER NOT NULL)").expect("table");
        Writer::start(connection).expect("started")
    }

    fn put(writer: &Writer, class: Class, x: i64) -> Pending<()> {
        writer.submit(class, move |connection| {
            connection.execute("INSERT INTO t VALUES (?1)", [x])?;
            Ok(())
        })
    }

    fn sum(writer: &Writer) -> i64 {
        let sum = |connection: &Connection| {
            Ok(connection.query_row("SELECT coalesce(sum(x), 0) FROM t", [], |row| row.get(0))?)
        };
        writer.submit(Class::Note, sum).wait().expect("sum")
    }

    #[test]
    fn after_a_loss_observations_wait_for_their_caller() {
        let writer = writer();
        put(&writer, Class::Observation, 1).wait().expect("put");
        // The table takes nothing more, as a full disk would.
        let close = "CREATE TRIGGER full BEFORE INSERT ON t BEGIN SELECT raise(ABORT, 'full'); END";
        writer.submit(Class::Note, |c| Ok(c.execute_batch(close)?)).wait().expect("closed");
        let lost = put(&writer, Class::Observation, 2);
        let open = writer.submit(Class::Decision, |c| Ok(c.execute_batch("DROP TRIGGER full")?));
        let after = put(&writer, Class::Observation, 4);
        let decided = put(&writer, Class::Decision, 8);
        assert!(matches!(lost.wait(), Err(StoreError::Engine(_))));
        open.wait().expect("opened");
        assert!(matches!(after.wait(), Err(StoreError::Suspended)));
        decided.wait().expect("stands for itself");
        assert!(matches!(put(&writer, Class::SyncedObservation, 16).wait(), Err(StoreError::Suspended)));
        writer.submit(Class::Resume, |_| Ok(())).wait().expect("resumed");
        put(&writer, Class::Observation, 32).wait().expect("put");
        assert_eq!(sum(&writer), 1 + 8 + 32);
    }

    #[test]
    fn what_a_refused_host_says_holds_up_nobody() {
        let writer = writer();
        let unknown = writer.submit::<()>(Class::Observation, |_| Err(StoreError::NotFound("host".to_owned())));
        assert!(matches!(unknown.wait(), Err(StoreError::NotFound(_))));
        put(&writer, Class::Observation, 1).wait().expect("put");
    }

    #[test]
    fn a_writer_that_is_shut_answers() {
        let mut writer = writer();
        writer.queue = None;
        assert!(matches!(put(&writer, Class::Note, 1).wait(), Err(StoreError::Shut)));
    }
}
