//! Proves that the controller can be reached under a new policy: by a new connection, as one that lives may live on what was decided before.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use cnnf_rpc::tls;
use tokio::sync::watch;

use crate::agent::Event;
use crate::credentials::Credentials;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Hosts that get a policy at once do not come back at once: each waits a part of this.
const SPREAD: Duration = Duration::from_secs(20);

/// What is needed to reach the controller.
pub(crate) struct Prover {
    pub(crate) controller: String,
    pub(crate) credentials: Arc<Credentials>,
    /// The generation to prove; `None` for nothing to do.
    pub(crate) wanted: watch::Receiver<Option<u64>>,
    /// How long a policy is on trial.
    pub(crate) patience: Duration,
    pub(crate) agent: Sender<Event>,
}

impl Prover {
    /// Proves what is wanted, for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let generation = *self.wanted.borrow_and_update();
            let proved = async {
                match generation {
                    Some(generation) => self.prove(generation).await,
                    None => std::future::pending().await,
                }
            };
            let mut wanted = self.wanted.clone();
            tokio::select! {
                () = proved => if wanted.changed().await.is_err() { return },
                changed = wanted.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn prove(&self, generation: u64) {
        tokio::time::sleep(SPREAD.min(self.patience / 3).mul_f64(rand::random::<f64>())).await;
        loop {
            match tls::connect(&self.controller, &self.credentials.tls()).await {
                Ok(_) => {
                    tracing::info!("generation {generation} holds: the controller was reached anew under it");
                    // the agent ends only with the process
                    let _ = self.agent.send(Event::Proved { generation });
                    return;
                }
                Err(error) => tracing::warn!("generation {generation} is on trial: {error}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
