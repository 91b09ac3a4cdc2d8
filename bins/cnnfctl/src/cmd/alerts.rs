//! `cnnfctl alerts`.

mod place;

use clap::{Args, Subcommand};
use cnnf_core::access::check_name;
use cnnf_core::event::EventKind;
use cnnf_core::label::Labels;
use cnnf_rpc::convert::common::stamp_text;
use cnnf_rpc::v1;

use super::{Asker, labels};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, printable};
use crate::since::parse_within;
use place::{Place, kind_of, place_of};

#[derive(Debug, Subcommand)]
pub(super) enum Alerts {
    /// All channels and what became of their messages; never their secrets.
    List,
    /// Add a channel, for events from now on.
    Add {
        /// What to call it.
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        which: Which,
        /// Send nothing yet.
        #[arg(long)]
        disable: bool,
    },
    /// Change a channel; what is not said stays. Its secrets stay too, unless it goes to another place.
    Set {
        /// Which.
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        which: Which,
        /// Tell of all events, but for what else is said here.
        #[arg(long)]
        all: bool,
        /// Send nothing any more.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Send again: events from now on.
        #[arg(long)]
        enable: bool,
    },
    /// Send a test message now, and say what became of it.
    Test {
        /// Which.
        name: String,
    },
    /// Delete a channel; what waits for it is not sent.
    Delete {
        /// Which.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

/// Which events, and how many messages.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Which events")]
pub(super) struct Which {
    /// Only of this kind, such as rule_prevent; may be given several times.
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    kinds: Vec<String>,
    /// Only those that this rule decided; '*' stands for anything; may be given several times.
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<String>,
    /// Only with this service at an end, by key or short name; '*' stands for anything; may be given several times.
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// Only with a host that has this label; of several it must have all.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// At most so many messages in this time, such as 20/10m, or none for no bound. What is beyond it is folded into one message that says how much.
    #[arg(long, value_name = "NUMBER/TIME", value_parser = rate)]
    rate: Option<v1::ChannelRate>,
}

fn kind(text: &str) -> Result<String, String> {
    text.parse::<EventKind>().map(|kind| kind.to_string()).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<v1::ChannelRate, String> {
    if text == "none" {
        return Ok(v1::ChannelRate::default());
    }
    let read = text.split_once('/').and_then(|(messages, time)| {
        let messages = messages.parse().ok().filter(|messages| *messages > 0)?;
        Some(v1::ChannelRate { messages, seconds: parse_within(time).ok()? })
    });
    read.ok_or_else(|| format!("'{text}' is no rate: write for example 20/10m, or none"))
}

impl Which {
    fn is_empty(&self) -> bool {
        self.rate.is_none() && !self.is_routed()
    }

    /// Whether anything is said of which events it is told of.
    fn is_routed(&self) -> bool {
        [&self.kinds, &self.rules, &self.services, &self.labels].iter().any(|list| !list.is_empty())
    }

    /// What is said, over what there was.
    fn over(self, channel: &mut v1::Channel) -> Result<(), Failure> {
        let labels: Labels = self.labels.join(",").parse().map_err(Failure::Usage)?;
        let route = channel.route.get_or_insert_default();
        for (said, known) in
            [(self.kinds, &mut route.kinds), (self.rules, &mut route.rules), (self.services, &mut route.services)]
        {
            if !said.is_empty() {
                *known = said;
            }
        }
        if !labels.0.is_empty() {
            route.labels = labels.0;
        }
        channel.rate = self.rate.or(channel.rate);
        Ok(())
    }
}

impl Alerts {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let session = asker.connect().await?;
                let answer = all(&session).await?;
                out.show(&answer, || list(&answer.channels, out))
            }
            Self::Add { name, place, which, disable } => {
                check_name(&name).map_err(|error| Failure::Usage(format!("the name {error}")))?;
                let mut channel = v1::Channel { name, disabled: disable, ..v1::Channel::default() };
                channel.to = Some(place.over(None)?);
                which.over(&mut channel)?;
                let session = asker.connect().await?;
                let ask = v1::AddChannelRequest { channel: Some(channel) };
                let made = session.answer(session.channels().add_channel(request(ask))).await?;
                out.done(&made, || said(&made, "is added"))
            }
            Self::Set { name, place, which, all: everything, disable, enable } => {
                if place.is_empty() && which.is_empty() && !everything && !disable && !enable {
                    return Err(Failure::Usage("nothing is to be changed: say what, see --help".into()));
                }
                let session = asker.connect().await?;
                let known = all(&session).await?.channels.into_iter().find(|channel| channel.name == name);
                let mut channel = known.ok_or_else(|| {
                    Failure::No(format!("there is no alert channel '{name}': 'cnnfctl alerts list' shows them"))
                })?;
                let named = [
                    ("to", !place.is_empty()),
                    ("route", everything || which.is_routed()),
                    ("rate", which.rate.is_some()),
                    ("disabled", disable || enable),
                ];
                // What is not said stays as it is by then, and not as it was when it was asked for.
                let fields = named.iter().filter(|(_, said)| *said).map(|(field, _)| (*field).to_owned()).collect();
                if everything {
                    channel.route = None;
                }
                channel.to = Some(place.over(channel.to.take())?);
                which.over(&mut channel)?;
                channel.disabled = disable || (channel.disabled && !enable);
                let ask = v1::UpdateChannelRequest { channel: Some(channel), fields };
                let made = session.answer(session.channels().update_channel(request(ask))).await?;
                out.done(&made, || said(&made, "is changed"))
            }
            Self::Test { name } => {
                let session = asker.connect().await?;
                let ask = v1::TestChannelRequest { name: name.clone(), channel: None };
                let answer = session.answer(session.channels().test_channel(request(ask))).await?;
                let name = printable(&name);
                if answer.delivered {
                    return out
                        .done(&answer, || format!("a test message has gone to '{name}' in {} ms", answer.took_ms));
                }
                out.show(&answer, || format!("no test message has gone to '{name}': {}", printable(&answer.error)))?;
                Err(Failure::Differs)
            }
            Self::Delete { name, yes } => {
                confirm(&format!("delete alert channel '{}'", printable(&name)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::DeleteChannelRequest { name: name.clone() };
                let answer = session.answer(session.channels().delete_channel(request(ask))).await?;
                out.done(&answer, || format!("alert channel '{}' is deleted", printable(&name)))
            }
        }
    }
}

async fn all(session: &Session) -> Result<v1::ListChannelsResponse, Failure> {
    session.answer(session.channels().list_channels(request(v1::ListChannelsRequest {}))).await
}

fn said(channel: &v1::Channel, done: &str) -> String {
    let to = channel.to.as_ref().map(|to| format!(": {} to {}", kind_of(to), place_of(to))).unwrap_or_default();
    let off = if channel.disabled { ", disabled" } else { "" };
    format!("alert channel '{}' {done}{}{off}", printable(&channel.name), printable(&to))
}

fn list(channels: &[v1::Channel], out: &Output) -> String {
    let mut header = vec!["NAME", "KIND", "TO", "WHICH", "STATE", "SENT", "WAIT"];
    if out.wide() {
        header.extend(["FOLDED", "RATE", "LAST SUCCESS", "LAST FAILURE", "CHANGED BY", "CHANGED"]);
    }
    let mut sheet = Sheet::new(out, &header);
    for channel in channels {
        let state = channel.state.clone().unwrap_or_default();
        let word = match (channel.disabled, state.last_error.is_empty()) {
            (true, _) => Cell::from("disabled"),
            (false, true) => Cell::from("good").tone(Tone::Good),
            (false, false) => Cell::from(&state.last_error).tone(Tone::Bad),
        };
        let to = channel.to.as_ref();
        let [kind, place] = [to.map(|to| kind_of(to).to_owned()), to.map(place_of)].map(Option::unwrap_or_default);
        let which = which(channel.route.as_ref());
        let mut row = vec![Cell::from(&channel.name), Cell::from(kind), Cell::from(place), Cell::from(which), word];
        row.extend([state.sent, state.pending].map(|number| Cell::from(number.to_string())));
        if out.wide() {
            let time = |at: &Option<_>| Cell::from(stamp_text(at.as_ref()));
            row.extend([state.folded.to_string(), rate_text(channel.rate.as_ref())].map(Cell::from));
            row.extend([time(&state.last_success), time(&state.last_failure)]);
            row.extend([Cell::from(&channel.changed_by), time(&channel.changed)]);
        }
        sheet.row(row);
    }
    sheet.render()
}

fn which(route: Option<&v1::ChannelRoute>) -> String {
    let Some(route) = route else { return "all".to_owned() };
    let label = labels(&route.labels);
    let lists = [("", &route.kinds), ("rule ", &route.rules), ("service ", &route.services)];
    let mut parts: Vec<String> = lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(word, list)| format!("{word}{}", list.join(", ")))
        .collect();
    if !label.is_empty() {
        parts.push(label);
    }
    if parts.is_empty() { "all".to_owned() } else { parts.join("; ") }
}

fn rate_text(rate: Option<&v1::ChannelRate>) -> String {
    match rate {
        Some(rate) if rate.messages > 0 => {
            let time = humantime::format_duration(std::time::Duration::from_secs(rate.seconds.into()));
            format!("{} in {time}", rate.messages)
        }
        _ => "no bound".to_owned(),
    }
}
