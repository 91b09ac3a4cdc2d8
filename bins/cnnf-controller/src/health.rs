//! Whether the controller can do its work: what `/readyz`, the gRPC health service and the metric say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::controller::Controller;

/// How often the store is tried, and how long that may take.
const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(5);
/// With less space a small write may still find room in what the database holds already, and the next one not.
const LEAST_SPACE: u64 = 64 << 10;

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It does not run yet, or not any more.
    Whole,
    /// The gRPC port.
    Api,
    /// The database.
    Store,
}

const PARTS: [(Part, &str); 3] = [
    (Part::Whole, "it starts or ends"),
    (Part::Api, "the API is down"),
    (Part::Store, "the database cannot be written"),
];

/// Which parts have failed.
pub(crate) struct Health(watch::Sender<[bool; PARTS.len()]>);

impl Default for Health {
    /// Before the first look nothing is known to work.
    fn default() -> Self {
        Self(watch::channel([true, false, false]).0)
    }
}

impl Health {
    fn set(&self, part: Part, failed: bool) {
        self.0.send_if_modified(|all| {
            let mut changed = false;
            for ((known, _), slot) in PARTS.iter().zip(all) {
                if *known == part {
                    changed |= *slot != failed;
                    *slot = failed;
                }
            }
            changed
        });
    }

    /// A part has failed.
    pub(crate) fn fail(&self, part: Part) {
        self.set(part, true);
    }

    /// A part works.
    pub(crate) fn work(&self, part: Part) {
        self.set(part, false);
    }

    /// Why it cannot do its work; `None` if it can.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        let all = *self.0.borrow();
        PARTS.iter().zip(all).find(|(_, failed)| *failed).map(|((_, why), _)| *why)
    }

    /// To be told when that changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<[bool; PARTS.len()]> {
        self.0.subscribe()
    }
}

/// Looks whether the store can be written until the controller ends. Who asks costs nothing.
pub(crate) async fn watch(controller: Arc<Controller>, data_dir: PathBuf) {
    controller.health.work(Part::Whole);
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = controller.ended() => return,
            _ = ticks.tick() => {}
        }
        let written = timeout(PATIENCE, controller.store.probe()).await;
        match written {
            Ok(Ok(())) => match rustix::fs::statvfs(&data_dir) {
                Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_SPACE => {
                    tracing::error!(at = %data_dir.display(), "the disk is full: not ready: free space");
                    controller.health.fail(Part::Store);
                }
                // A file system that does not say has taken the write.
                _ => controller.health.work(Part::Store),
            },
            Ok(Err(error)) => {
                tracing::error!(%error, "the database cannot be written: not ready");
                controller.health.fail(Part::Store);
            }
            Err(_) => {
                tracing::error!("the database takes longer than {} s to write: not ready", PATIENCE.as_secs());
                controller.health.fail(Part::Store);
            }
        }
    }
}
