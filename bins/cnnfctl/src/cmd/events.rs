//! `cnnfctl events`.

pub(super) mod people;

use std::time::Duration;

use clap::Subcommand;
use cnnf_core::event::EventKind;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;
use tonic::{Code, Status};

use super::Asker;
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::printable;
use crate::since::{parse_since, range};

#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// Events, newest first.
    List {
        #[command(flatten)]
        which: Which,
        /// Only those of this time: 1h, 7d, or since RFC 3339.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        since: Option<Timestamp>,
        /// At most so many.
        #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
        limit: u32,
    },
    /// New and changed events as they come, until Ctrl-C; when the connection breaks it goes on after the last one.
    Watch {
        #[command(flatten)]
        which: Which,
        /// Begin after the event with this cursor, as JSON shows it, instead of now.
        #[arg(long, default_value = "", hide_default_value = true, value_name = "CURSOR")]
        after: String,
    },
    /// Mark an event as seen to: it colours the picture no more, and a later equal one is an event of its own.
    Ack {
        /// Its number.
        id: u64,
        /// What is to be remembered about it.
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        note: String,
    },
    /// One event with all that is known of it.
    Show {
        /// Its number.
        id: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only this kind, such as rule_alert.
    #[arg(long, value_parser = kind, default_value = "", hide_default_value = true)]
    kind: String,
    /// Only with this service at an end: its key or short name.
    #[arg(long, value_name = "SERVICE", default_value = "", hide_default_value = true)]
    service: String,
}

fn kind(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        word => word.parse::<EventKind>().map(|kind| kind.to_string()).map_err(|error| error.to_string()),
    }
}

impl Events {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let out = &asker.out;
        match self {
            Self::List { which, since, limit } => {
                let all = list(&session, which, since, limit).await.map_err(|s| session.refused(&s))?;
                out.show(&all, || people::table(&all.events, out))?;
                if !all.next_token.is_empty() {
                    out.note(&format!(
                        "there are more than {limit} events: narrow them with --since, or raise --limit"
                    ));
                }
                Ok(())
            }
            Self::Watch { which, after } => watch(asker, &session, &which, after).await,
            Self::Ack { id, note } => {
                let ask = v1::AcknowledgeEventRequest { id, note };
                let event = session.answer(session.events().acknowledge_event(request(ask))).await?;
                out.done(&event, || match printable(&event.note) {
                    note if note.is_empty() => format!("event {} is acknowledged", event.id),
                    note => format!("event {} is acknowledged: {note}", event.id),
                })
            }
            Self::Show { id } => {
                let event = session.answer(session.events().get_event(request(v1::GetEventRequest { id }))).await?;
                out.show(&event, || people::details(&event, out))
            }
        }
    }
}

/// The newest `limit` events.
pub(super) async fn newest(session: &Session, limit: u32) -> Result<Vec<v1::Event>, Status> {
    let which = Which { kind: String::new(), service: String::new() };
    Ok(list(session, which, None, limit).await?.events)
}

async fn list(
    session: &Session,
    which: Which,
    since: Option<Timestamp>,
    limit: u32,
) -> Result<v1::ListEventsResponse, Status> {
    let mut all = v1::ListEventsResponse::default();
    loop {
        let size = limit - u32::try_from(all.events.len()).unwrap_or(limit).min(limit);
        let ask = v1::ListEventsRequest {
            kind: which.kind.clone(),
            service: which.service.clone(),
            time: range(since, None),
            page: Some(v1::PageRequest { size, token: all.next_token }),
        };
        let next = session.ask(session.events().list_events(request(ask))).await?;
        all.events.extend(next.events);
        all.next_token = next.next_token;
        if all.next_token.is_empty() || all.events.len() >= limit as usize {
            return Ok(all);
        }
    }
}

/// So often in a row nothing comes before a watcher gives up. Each attempt is itself repeated for some seconds.
const FAILURES: u32 = 5;
/// What is waited for before the second attempt, and twice as much each further time.
const WAIT: Duration = Duration::from_millis(200);

/// Shows events until Ctrl-C.
async fn watch(asker: &Asker, session: &Session, which: &Which, after: String) -> Result<(), Failure> {
    tokio::select! {
        watched = watch_on(asker, session, which, after) => watched,
        stop = tokio::signal::ctrl_c() => {
            stop.map_err(|error| Failure::Unreachable(format!("cannot wait for Ctrl-C: {error}")))
        }
    }
}

/// Shows events from stream to stream, until nothing comes any more.
async fn watch_on(asker: &Asker, session: &Session, which: &Which, after: String) -> Result<(), Failure> {
    let mut cursor = after;
    let mut failures = 0;
    loop {
        let before = cursor.clone();
        let watched = follow(asker, session, which, &mut cursor).await;
        let Err(End::Broken(status)) = watched else { return watched.map_err(|end| end.failure(session)) };
        failures = if cursor == before { failures + 1 } else { 0 };
        // Without a cursor what comes meanwhile would be missed without a word.
        if cursor.is_empty() || failures == FAILURES {
            return Err(session.refused(&status));
        }
        asker.out.note("the connection broke: watching on after the last event");
        tokio::time::sleep(WAIT * 2_u32.pow(failures)).await;
    }
}

/// Why a stream of events has ended.
enum End {
    /// It can be gone on with.
    Broken(Status),
    /// It is refused.
    Refused(Status),
    /// What came could not be shown.
    Unshown(Failure),
}

impl End {
    fn of(status: Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => Self::Broken(status),
            _ => Self::Refused(status),
        }
    }

    fn failure(self, session: &Session) -> Failure {
        match self {
            Self::Broken(status) | Self::Refused(status) => session.refused(&status),
            Self::Unshown(failure) => failure,
        }
    }
}

/// Shows events until the stream ends; `cursor` is where to go on from.
async fn follow(asker: &Asker, session: &Session, which: &Which, cursor: &mut String) -> Result<(), End> {
    let ask =
        v1::WatchEventsRequest { kind: which.kind.clone(), service: which.service.clone(), cursor: cursor.clone() };
    // No deadline: this goes on until somebody ends it.
    let answer = session.events().watch_events(ask).await.map_err(End::of)?;
    if let Some(begin) = answer.metadata().get("cursor").and_then(|begin| begin.to_str().ok()) {
        begin.clone_into(cursor);
    }
    let mut events = answer.into_inner();
    loop {
        let next = events.message().await.map_err(End::of)?;
        let event = next.ok_or_else(|| End::Broken(Status::unavailable("the controller ended the stream")))?;
        asker.out.show_next(&event, || people::line(&event, &asker.out)).map_err(End::Unshown)?;
        if let Some(next) = event.cursor {
            *cursor = next;
        }
    }
}
