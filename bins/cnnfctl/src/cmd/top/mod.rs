//! `cnnfctl top`: services, edges, events and hosts as they are now.
//!
//! A task follows the controller ([`feed`]) and sends what it hears; the [`App`](state::App) keeps that and what the person wants to see,
//! and [`draw`] paints it. Only the task talks to the controller and only this file to the terminal, so both can be left out in tests.

mod draw;
mod feed;
mod rows;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;

use super::Asker;
use crate::failure::Failure;
use crate::output::print;
use feed::{Feed, News};
use rows::View;
use state::{After, App};

#[derive(Debug, Args)]
pub(super) struct Top {
    /// What to show first.
    #[arg(long, value_enum, default_value = "services", value_name = "VIEW")]
    view: View,
    /// The column to sort by, as its title reads; numbers from the largest on. "-COLUMN" turns that around.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// Only rows with this text in them.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    filter: String,
    /// How often to look at the counters. Everything else is told by the controller as it changes.
    #[arg(long, default_value = "2s", value_parser = interval, value_name = "TIME")]
    interval: Duration,
    /// Print one frame with all its rows and end: for scripts, and where there is no terminal.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| format!("'{text}' is no time: write 2s or 1m"))?;
    let good = Duration::from_secs(1)..=Duration::from_secs(3600);
    if good.contains(&time) { Ok(time) } else { Err("write a time from 1s to 1h".to_owned()) }
}

impl Top {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        if asker.out.for_programs() {
            let instead = "'cnnfctl radar', 'events watch' and 'defenders list' have -o json and yaml";
            return Err(Failure::Usage(format!("top draws for people: {instead}")));
        }
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !(self.once || terminal) {
            return Err(Failure::Usage("top needs a terminal: say --once for one frame".into()));
        }
        let context = asker.sources.find()?;
        let mut app = App::new(&context.server, self.view, self.filter.clone(), asker.out.color());
        if let Some(column) = &self.sort {
            app.sort_by(column).map_err(Failure::Usage)?;
        }
        // Whoever cannot connect now gets the error of every command; only what was connected once is waited for.
        let mut feed = Feed::connect(context, self.interval).await?;
        if self.once {
            app.hear(feed.once(self.view).await?);
            return print(&frame(&app));
        }
        live(app, feed).await
    }
}

/// One frame, as text, as wide as the terminal and as tall as it has to be.
fn frame(app: &App) -> String {
    // Where nothing says how wide: what tables are read in without being folded.
    const WIDTH: u16 = 120;
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width =
        columns.or_else(|| crossterm::terminal::size().ok().filter(|_| io::stdout().is_terminal()).map(|s| s.0));
    let buffer = draw::all(app, width.unwrap_or(WIDTH).clamp(20, 1000));
    let area = buffer.area;
    let text = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    let lines: Vec<_> = (0..area.height).map(|y| text(y).trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The terminal, given back as it was when this is dropped; also when the program panics.
struct Screen(DefaultTerminal);

impl Screen {
    fn enter() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(|error| cannot("take", &error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::Unreachable(format!("cannot {what} the terminal: {error}: say --once for one frame"))
}

async fn live(mut app: App, feed: Feed) -> Result<(), Failure> {
    let stop = |kind| signal(kind).map_err(|error| cannot("watch", &error));
    let (mut terminate, mut hangup) = (stop(SignalKind::terminate())?, stop(SignalKind::hangup())?);
    let (wanted, wants) = watch::channel(app.view());
    // One at a time: what the feed has heard while this paints is as fresh as it can be.
    let (sender, mut heard) = mpsc::channel(1);
    let feed = tokio::spawn(feed.follow(wants, sender));
    let mut screen = Screen::enter()?;
    let mut keys = EventStream::new();
    let ended = loop {
        screen
            .0
            .draw(|frame| draw::frame(&app, frame.area(), frame.buffer_mut()))
            .map_err(|e| cannot("draw on", &e))?;
        tokio::select! {
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                    if app.key(key) == After::Quit {
                        break Ok(());
                    }
                    wanted.send_if_modified(|view| std::mem::replace(view, app.view()) != app.view());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break Err(cannot("read from", &error)),
                None => break Ok(()),
            },
            news = heard.recv() => match news {
                Some(News::End(failure)) => break Err(failure),
                Some(news) => app.hear(news),
                None => break Err(Failure::Unreachable("nothing is heard of the controller any more".into())),
            },
            // The time until the next try is counted down.
            () = tokio::time::sleep(Duration::from_secs(1)), if app.is_lost() => {}
            _ = terminate.recv() => break Ok(()),
            _ = hangup.recv() => break Ok(()),
        }
    };
    feed.abort();
    ended
}
