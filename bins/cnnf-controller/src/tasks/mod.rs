//! What happens by itself as time passes. Each task takes no input and may run at any moment.

mod confirm;
mod expiry;

use std::sync::Arc;
use std::time::Duration;

use cnnf_core::time::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::now;
use crate::controller::Controller;

const TICK: Duration = Duration::from_secs(1);
/// How often clocks and last-seen times are stored that change without an event.
const STORE_EVERY: u32 = 10;
/// How often it is recorded who was not let in, besides the first.
const RECORD_EVERY: u32 = 60;
/// How often what was counted for edges is aged.
const AGE_EVERY: u32 = 300;

/// Ticks until the controller ends.
pub(crate) async fn run(controller: Arc<Controller>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    let mut round = 0u32;
    loop {
        tokio::select! {
            () = controller.ended() => return,
            _ = ticks.tick() => {}
            () = expiry::next(&controller) => {
                expiry::tell(&controller).await;
                continue;
            }
            () = confirm::next(&controller) => {
                confirm::undo(&controller).await;
                continue;
            }
        }
        let elapsed = last.elapsed();
        last = Instant::now();
        let at = now();
        tick(&controller, elapsed, at).await;
        round = round.wrapping_add(1);
        if round.is_multiple_of(STORE_EVERY) {
            store_clocks(&controller).await;
            controller.people.store_uses(&controller.store, at.minus(TICK * 2 * STORE_EVERY)).await;
        }
        if round.is_multiple_of(RECORD_EVERY) {
            controller.people.store_refusals(&controller.store).await;
        }
        if round.is_multiple_of(AGE_EVERY) {
            age_edges(&controller).await;
        }
    }
}

/// Lets time pass for models and hosts.
pub(crate) async fn tick(controller: &Arc<Controller>, elapsed: Duration, at: Timestamp) {
    let queued = {
        let mut state = controller.state();
        let mut learned = state.tick_models(elapsed, at);
        let silent = state.fall_silent(at);
        learned.policy_changed |= !silent.is_empty();
        learned.events.extend(silent);
        controller.queue(&state, learned)
    };
    controller.settle(queued).await;
}

/// Stores the models' clocks and when hosts were last heard.
pub(crate) async fn store_clocks(controller: &Arc<Controller>) {
    let (models, heard) = {
        let state = controller.state();
        let heard: Vec<_> = state
            .hosts
            .values()
            .filter(|known| known.live.is_some())
            .map(|known| (known.row.id.clone(), known.row.version.clone(), known.row.labels.clone(), known.heard))
            .collect();
        // Queued under the lock: see Controller::queue.
        (controller.store.patch_models(state.model_heads()), heard)
    };
    let hosts = controller.store.note_hosts(heard);
    if let Err(error) = hosts.await {
        tracing::error!(%error, "last-seen times could not be stored");
    }
    if let Err(error) = models.await {
        tracing::error!(%error, "the models' clocks could not be stored");
        controller.take_back().await;
    }
}

/// Makes old hours into days, and forgets what is older than the settings say.
async fn age_edges(controller: &Arc<Controller>) {
    let at = now();
    let (queued, hours, days) = {
        let mut state = controller.state();
        let learned = state.forget_edges(at);
        let (hours, days) = (state.settings.edges_hourly_for, state.settings.edges_daily_for);
        (controller.queue(&state, learned), at.minus(hours), at.minus(days))
    };
    controller.settle(queued).await;
    loop {
        match controller.store.age_edges(hours, days).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "edges could not be aged");
                return;
            }
        }
    }
}
