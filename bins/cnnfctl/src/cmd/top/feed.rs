//! What is heard of the controller, for as long as anybody looks: asks again when a topic of the view has changed and, for counters, at an
//! interval; connects anew when the connection breaks, and goes on from the revisions it has seen.

use std::collections::BTreeMap;
use std::time::Duration;

use cnnf_rpc::v1;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status};

use super::super::{defenders, events};
use super::rows::View;
use crate::context::{Context, Session, request};
use crate::failure::Failure;

/// The least time between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// The controller says something every 15 s.
const SILENCE: Duration = Duration::from_secs(40);
/// Before the second try to connect; the first is at once, and each waits twice as long as the one before it.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Newest events that are looked at.
const EVENTS: u32 = 1000;

/// Something heard.
#[derive(Debug)]
pub(super) enum News {
    /// How things are.
    Answer(Box<v1::Status>, Answer),
    /// The connection broke.
    Lost {
        /// Why.
        why: String,
        /// When it is tried again.
        next: Instant,
    },
    /// The controller does not want this caller: no use in trying again.
    End(Failure),
}

/// What a view shows.
#[derive(Debug)]
pub(super) enum Answer {
    /// Services and edges.
    Picture(v1::Radar),
    /// Newest first.
    Events(Vec<v1::Event>),
    /// By name.
    Hosts(Vec<v1::Defender>),
}

/// Follows a controller.
pub(super) struct Feed {
    context: Context,
    session: Session,
    interval: Duration,
    epoch: String,
    revisions: BTreeMap<String, u64>,
}

impl Feed {
    pub(super) async fn connect(context: Context, interval: Duration) -> Result<Self, Failure> {
        let session = Session::open(&context).await?;
        Ok(Self { context, session, interval, epoch: String::new(), revisions: BTreeMap::new() })
    }

    /// What `view` shows now.
    pub(super) async fn once(&mut self, view: View) -> Result<News, Failure> {
        self.ask(view).await.map_err(|status| self.session.refused(&status))
    }

    /// Says what the views that are wanted show, until nobody hears.
    pub(super) async fn follow(mut self, mut wanted: watch::Receiver<View>, heard: mpsc::Sender<News>) {
        let mut wait = Duration::ZERO;
        loop {
            let mut answered = false;
            let Err(status) = self.listen(&mut wanted, &heard, &mut answered).await else { return };
            let failure = self.session.refused(&status);
            if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented) {
                let _ = heard.send(News::End(failure)).await;
                return;
            }
            if answered {
                wait = Duration::ZERO;
            }
            let mut why = failure.text().unwrap_or_default();
            loop {
                let next = Instant::now() + wait;
                if heard.send(News::Lost { why, next }).await.is_err() {
                    return;
                }
                sleep_until(next).await;
                wait = (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
                match Session::open(&self.context).await {
                    Ok(session) => break self.session = session,
                    Err(failure) => why = failure.text().unwrap_or_default(),
                }
            }
        }
    }

    /// Until the connection breaks, or (`Ok`) until nobody hears; `answered` once something was.
    async fn listen(
        &mut self,
        wanted: &mut watch::Receiver<View>,
        heard: &mpsc::Sender<News>,
        answered: &mut bool,
    ) -> Result<(), Status> {
        let seen = v1::WatchChangesRequest { epoch: self.epoch.clone(), revisions: self.revisions.clone() };
        let mut changes = self.session.ask(self.session.watch().watch_changes(seen)).await?;
        let mut view = *wanted.borrow_and_update();
        let mut due = Instant::now();
        let mut last = None::<Instant>;
        let mut silent = Instant::now() + SILENCE;
        loop {
            tokio::select! {
                () = sleep_until(due) => {
                    let news = self.ask(view).await?;
                    *answered = true;
                    if heard.send(news).await.is_err() {
                        return Ok(());
                    }
                    last = Some(Instant::now());
                    due = Instant::now() + self.interval;
                }
                () = sleep_until(silent) => return Err(Status::unavailable("the controller has been silent for 40 s")),
                change = changes.message() => {
                    let change = change?.ok_or_else(|| Status::unavailable("the controller ended the stream"))?;
                    silent = Instant::now() + SILENCE;
                    (self.epoch, self.revisions) = (change.epoch, change.revisions);
                    if change.changed.iter().any(|topic| view.topics().contains(&topic.as_str())) {
                        due = due.min(last.map_or_else(Instant::now, |last| last + PAUSE));
                    }
                }
                change = wanted.changed() => {
                    if change.is_err() {
                        return Ok(());
                    }
                    view = *wanted.borrow_and_update();
                    due = Instant::now();
                }
                () = heard.closed() => return Ok(()),
            }
        }
    }

    async fn ask(&self, view: View) -> Result<News, Status> {
        let session = &self.session;
        let status = session.ask(session.status().get_status(request(v1::GetStatusRequest {}))).await?;
        let answer = match view {
            View::Services | View::Edges => {
                let all = v1::GetRadarRequest::default();
                Answer::Picture(session.ask(session.topology().get_radar(request(all))).await?)
            }
            View::Events => Answer::Events(events::newest(session, EVENTS).await?),
            View::Hosts => Answer::Hosts(defenders::all(session).await?.defenders),
        };
        Ok(News::Answer(Box::new(status), answer))
    }
}
