//! Takes events from the store to a channel's place, in the order of their numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_store::{ChannelProgress, StoreError, StoredEvent};
use tokio::time::sleep;

use super::channel::Channel;
use super::concerns;
use super::message::{Alert, Content, Folded};
use super::rate::Window;
use super::render::plain;
use super::send::{Failure, Sender};
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::Controller;
use crate::grpc::event::message;

/// Events that are read at once.
const PAGE: usize = 256;
/// Events that are folded into one message at most.
const MOST_FOLDED: u64 = 100_000;
/// A message that its receiver has refused so often is folded with all others that wait: whatever is wrong with it is left out then.
const PATIENCE: u32 = 5;
/// How long after a failure it is tried again: doubled each time, up to the longest.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(300);
/// How long after the store has failed.
const STORE: Duration = Duration::from_secs(5);
/// Bytes of an error that are kept.
const LONGEST_ERROR: usize = 500;

/// A channel's.
pub(super) struct Pump {
    controller: Arc<Controller>,
    name: String,
    channel: Arc<Channel>,
    progress: ChannelProgress,
    window: Window,
    failures: u32,
    refusals: u32,
}

/// What goes in one delivery.
struct Parcel {
    alerts: Vec<Alert>,
    /// The number of the last event in it.
    last: u64,
    /// Events that are folded in it.
    folded: u64,
}

impl Pump {
    pub(super) fn new(controller: Arc<Controller>, name: String, channel: Arc<Channel>) -> Self {
        let (progress, window) = (ChannelProgress::default(), Window::default());
        Self { controller, name, channel, progress, window, failures: 0, refusals: 0 }
    }

    /// Until the controller ends, or somebody aborts it.
    pub(super) async fn run(mut self) {
        let controller = Arc::clone(&self.controller);
        tokio::select! {
            biased;
            () = controller.ended() => return,
            () = self.begin() => {}
        }
        let mut wake = controller.alerts.wake.subscribe();
        let mut sender = None;
        let mut fold = false;
        loop {
            wake.mark_unchanged();
            let batch = match &sender {
                Some(sender) if self.channel.rate.messages == 0 => Sender::batch(sender),
                _ => 1,
            };
            let pause = match self.next(fold || self.refusals >= PATIENCE, batch).await {
                Ok(None) => {
                    tokio::select! {
                        () = controller.ended() => return,
                        // The sender lives as long as the controller.
                        _ = wake.changed() => continue,
                    }
                }
                Ok(Some(parcel)) => match self.window.wait(self.channel.rate, Instant::now()) {
                    Duration::ZERO => {
                        let pause = self.deliver(&mut sender, parcel).await;
                        fold &= pause.is_some();
                        pause
                    }
                    wait => {
                        fold = true;
                        Some(wait)
                    }
                },
                Err(error) => {
                    tracing::error!(channel = self.name, %error, "the store fails an alert channel");
                    Some(STORE)
                }
            };
            if let Some(pause) = pause {
                tokio::select! {
                    () = controller.ended() => return,
                    () = sleep(pause) => {}
                }
            } else if *controller.ending.borrow() {
                return;
            }
        }
    }

    /// Learns from the store how far the channel is.
    async fn begin(&mut self) {
        loop {
            match self.controller.store.channel_progress(self.name.clone()).await {
                Ok(progress) => {
                    self.progress = progress;
                    return;
                }
                // Deleted meanwhile; whoever did it ends this pump.
                Err(StoreError::NotFound(_)) => std::future::pending().await,
                Err(error) => tracing::error!(channel = self.name, %error, "the store fails an alert channel"),
            }
            sleep(STORE).await;
        }
    }

    /// The next events that concern the channel: as many as go at once, or all that wait folded into one message.
    async fn next(&mut self, fold: bool, batch: usize) -> Result<Option<Parcel>, StoreError> {
        let mut found: Vec<StoredEvent> = Vec::new();
        let mut folded = Folded::default();
        let told = self.progress.told;
        let (mut at, mut last) = (told, 0);
        loop {
            let page = self.page(at).await?;
            let Some(newest) = page.last().map(|event| event.id) else { break };
            let state = self.controller.state();
            for event in page {
                if !concerns(&state, &self.channel, &event) {
                    continue;
                }
                last = event.id;
                add(&mut folded, &event);
                // Of those that are folded only the first is needed whole.
                if found.len() < if fold { 1 } else { batch } {
                    found.push(event);
                }
                if !fold && found.len() == batch {
                    break;
                }
            }
            at = newest;
            if found.is_empty() {
                self.progress.told = newest;
            }
            if (!fold && found.len() == batch) || folded.events() >= MOST_FOLDED {
                break;
            }
        }
        let Some(first) = found.first() else {
            if self.progress.told != told {
                self.keep().await;
            }
            return Ok(None);
        };
        let repeat = |event: &StoredEvent| event.id <= self.progress.tried;
        let alert = |id: String, repeat, content| Alert { id, channel: self.name.clone(), repeat, at: now(), content };
        let id = |event: &StoredEvent| format!("{}-{}-{:x}", self.name, event.id, event.first.0);
        if fold && (folded.events() > 1 || self.refusals >= PATIENCE) {
            let id = format!("{}-{last}", id(first));
            let events = folded.events();
            let alerts = vec![alert(id, repeat(first), Content::Folded(folded))];
            return Ok(Some(Parcel { alerts, last, folded: events }));
        }
        let state = self.controller.state();
        let one = |event| alert(id(event), repeat(event), Content::Event(Box::new(message(&state, event))));
        Ok(Some(Parcel { alerts: found.iter().map(one).collect(), last, folded: 0 }))
    }

    async fn page(&self, after: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let read = self.controller.aside(move |controller| Ok(controller.store.events_after(after, PAGE)));
        read.await.unwrap_or_else(|status| Err(StoreError::Engine(status.message().to_owned())))
    }

    /// Sends; how long to wait before the next try if it did not arrive.
    async fn deliver(&mut self, sender: &mut Option<Sender>, parcel: Parcel) -> Option<Duration> {
        let Parcel { alerts, last, folded } = parcel;
        self.progress.tried = self.progress.tried.max(last);
        if let Err(error) = self.controller.store.try_channel(self.name.clone(), self.progress.clone()).await {
            // Without that a repeat could not be told from a first.
            tracing::error!(channel = self.name, %error, "the store fails an alert channel");
            return Some(STORE);
        }
        let made = match sender.take() {
            Some(sender) => Ok(sender),
            None => Sender::new(&self.channel),
        };
        let result = match made {
            Ok(made) => sender.insert(made).send(&alerts).await,
            Err(failure) => Err(failure),
        };
        let pause = match result {
            Ok(()) => {
                self.window.note(self.channel.rate, Instant::now());
                self.progress.told = last;
                self.progress.sent += alerts.len() as u64;
                self.progress.folded += folded;
                self.progress.last_success = Some(now());
                self.progress.last_error.clear();
                (self.failures, self.refusals) = (0, 0);
                None
            }
            Err(failure) => Some(self.failed(failure)),
        };
        self.keep().await;
        self.controller.changes.note(Topic::Channels);
        pause
    }

    fn failed(&mut self, failure: Failure) -> Duration {
        let Failure { text, refused, after } = failure;
        tracing::warn!(channel = self.name, error = text, "an alert did not arrive");
        let mut text = plain(&text);
        text.truncate(text.floor_char_boundary(LONGEST_ERROR));
        self.progress.last_error = text;
        self.progress.last_failure = Some(now());
        let pause = (SOON * 2u32.saturating_pow(self.failures.min(16))).min(LATE);
        self.failures = self.failures.saturating_add(1);
        self.refusals = if refused { self.refusals.saturating_add(1) } else { 0 };
        // Half of it by chance, so that many controllers do not come back at once.
        let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        after.map_or(jittered, |after| after.max(jittered))
    }

    /// Keeps how far the channel is, and shows it.
    async fn keep(&self) {
        if let Some(known) = self.controller.alerts.known().get_mut(&self.name)
            && Arc::ptr_eq(&known.channel, &self.channel)
        {
            known.progress.clone_from(&self.progress);
        }
        if let Err(error) = self.controller.store.note_channel(self.name.clone(), self.progress.clone()).await {
            tracing::error!(channel = self.name, %error, "it could not be kept how far an alert channel is");
        }
    }
}

fn add(folded: &mut Folded, event: &StoredEvent) {
    *folded.kinds.entry(event.kind).or_default() += 1;
    if folded.ids.0 == 0 {
        folded.ids.0 = event.id;
        folded.seen = (event.first, event.last);
    }
    folded.ids.1 = event.id;
    folded.seen = (folded.seen.0.min(event.first), folded.seen.1.max(event.last));
}
