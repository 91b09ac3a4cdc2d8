//! What a replay found, for people and programs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use cnnf_core::id::ServiceKey;
use cnnf_core::model::Model;
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Edge;
use serde::Serialize;

use super::zeek::Connection;

const DAY_MS: f64 = 86_400_000.0;

/// What came of a replay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Of the whole recording.
    pub(super) totals: Totals,
    /// When learning ended, in milliseconds since the epoch; absent if the models' own clocks decided.
    pub(super) learn_until_ms: Option<u64>,
    /// Connections with an active model at an end, and those that one objected to.
    pub(super) judged: Counts,
    /// Connections after learning ended, or since a first model was active, that no active model was asked about: attempts at ports
    /// where nobody listens.
    pub(super) unjudged: u64,
    /// The same by what the recording calls them; empty where it calls them nothing.
    pub(super) labels: BTreeMap<String, OfLabel>,
    /// Services that were first seen after learning ended.
    pub(super) new_services: usize,
    /// What the models did not know, in the order in which it came; each is one event.
    pub(super) anomalies: Vec<Anomaly>,
    /// What readiness promised when learning ended, and what happened.
    pub(super) readiness: Option<Readiness>,
}

/// Of the whole recording.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    pub(super) connections: u64,
    pub(super) answered: u64,
    pub(super) unanswered: u64,
    /// Connections with no local host at an end: not counted any further.
    pub(super) foreign: u64,
    pub(super) services: usize,
    pub(super) edges: usize,
    pub(super) models: BTreeMap<&'static str, usize>,
}

impl Totals {
    pub(super) fn count(&mut self, answered: bool) {
        self.connections += 1;
        *if answered { &mut self.answered } else { &mut self.unanswered } += 1;
    }
}

/// Answered and unanswered connections, and the anomalies among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) answered: u64,
    pub(super) answered_anomalies: u64,
    pub(super) unanswered: u64,
    pub(super) unanswered_anomalies: u64,
}

impl Counts {
    fn count(&mut self, answered: bool, anomaly: bool) {
        let (all, anomalies) = if answered {
            (&mut self.answered, &mut self.answered_anomalies)
        } else {
            (&mut self.unanswered, &mut self.unanswered_anomalies)
        };
        *all += 1;
        *anomalies += u64::from(anomaly);
    }

    fn rate(&self) -> f64 {
        share(self.answered_anomalies + self.unanswered_anomalies, self.answered + self.unanswered)
    }
}

/// What became of connections of one label.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfLabel {
    pub(super) judged: Counts,
    pub(super) unjudged: u64,
    /// Different edges among the judged.
    pub(super) edges: usize,
    /// Of these, edges that a model objected to.
    pub(super) anomalous_edges: usize,
    #[serde(skip)]
    seen: BTreeSet<Edge>,
    #[serde(skip)]
    caught: BTreeSet<Edge>,
}

/// An edge that a model did not know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Anomaly {
    pub(super) edge: String,
    /// The service whose model objected.
    pub(super) model: String,
    pub(super) first_ms: u64,
    pub(super) answered: u64,
    pub(super) unanswered: u64,
    pub(super) labels: BTreeSet<String>,
}

/// Promise and fact.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Readiness {
    /// Events that all models together promised for the time that followed.
    pub(super) expected: f64,
    /// Edges that they objected to.
    pub(super) happened: usize,
    /// Services with the most of either first.
    pub(super) services: Vec<OfService>,
}

/// Promise and fact of one service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfService {
    pub(super) service: String,
    pub(super) edges: usize,
    pub(super) connections: u64,
    pub(super) unseen_probability: f64,
    /// Absent where nothing could be promised.
    pub(super) expected: Option<f64>,
    pub(super) happened: usize,
}

/// What is judged while the replay goes on.
#[derive(Default)]
pub(super) struct Judged {
    counts: Counts,
    unjudged: u64,
    labels: BTreeMap<String, OfLabel>,
    anomalies: Vec<Anomaly>,
    known: BTreeMap<(Edge, ServiceKey), usize>,
    pub(super) new_services: usize,
    begun: Option<(Timestamp, BTreeMap<ServiceKey, OfService>)>,
}

impl Judged {
    /// Learning ends: what the models promise is kept, and services are new from now on.
    pub(super) fn begin(&mut self, at: Timestamp, models: &BTreeMap<ServiceKey, Model>) {
        let promise = |(key, model): (&ServiceKey, &Model)| {
            let of_service = OfService {
                service: key.to_string(),
                edges: model.edges.len(),
                connections: model.connections,
                unseen_probability: model.unseen_probability(),
                expected: model.expected_events(),
                happened: 0,
            };
            (key.clone(), of_service)
        };
        self.begun = Some((at, models.iter().map(promise).collect()));
        self.new_services = 0;
    }

    /// Counts a connection that an active model was asked about, and which objected.
    pub(super) fn count(&mut self, connection: &Connection, edge: &Edge, objection: Option<ServiceKey>) {
        let anomaly = objection.is_some();
        self.counts.count(connection.answered, anomaly);
        if !connection.label.is_empty() {
            let of_label = self.labels.entry(connection.label.clone()).or_default();
            of_label.judged.count(connection.answered, anomaly);
            of_label.seen.insert(edge.clone());
            if anomaly {
                of_label.caught.insert(edge.clone());
            }
        }
        let Some(model) = objection else { return };
        let place = *self.known.entry((edge.clone(), model.clone())).or_insert_with(|| {
            self.anomalies.push(Anomaly {
                edge: edge.to_string(),
                model: model.to_string(),
                first_ms: connection.at.0,
                answered: 0,
                unanswered: 0,
                labels: BTreeSet::new(),
            });
            self.anomalies.len() - 1
        });
        let told = &mut self.anomalies[place];
        *if connection.answered { &mut told.answered } else { &mut told.unanswered } += 1;
        if !connection.label.is_empty() {
            told.labels.insert(connection.label.clone());
        }
    }

    /// Counts a connection that no active model was asked about.
    pub(super) fn pass_over(&mut self, connection: &Connection) {
        if self.begun.is_none() && self.counts == Counts::default() {
            return;
        }
        self.unjudged += 1;
        if !connection.label.is_empty() {
            self.labels.entry(connection.label.clone()).or_default().unjudged += 1;
        }
    }

    pub(super) fn report(self, totals: Totals, end: Timestamp, models: &BTreeMap<ServiceKey, Model>) -> Report {
        let Self { counts, unjudged, mut labels, anomalies, known, new_services, begun } = self;
        for of_label in labels.values_mut() {
            (of_label.edges, of_label.anomalous_edges) = (of_label.seen.len(), of_label.caught.len());
        }
        let learn_until_ms = begun.as_ref().map(|(at, _)| at.0);
        let readiness = begun.map(|(at, promised)| {
            #[allow(clippy::cast_precision_loss)] // a number of milliseconds that a recording lasts
            let days = end.since(at).as_millis() as f64 / DAY_MS;
            let mut services: Vec<OfService> = promised
                .into_iter()
                .filter(|(key, _)| models.contains_key(key))
                .map(|(key, promise)| OfService {
                    expected: promise.expected.map(|a_day| a_day * days),
                    happened: known.keys().filter(|(_, model)| *model == key).count(),
                    ..promise
                })
                .collect();
            #[allow(clippy::cast_precision_loss)] // a number of edges
            let weight = |s: &OfService| s.expected.unwrap_or(0.0).max(s.happened as f64);
            services.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            Readiness {
                expected: services.iter().filter_map(|service| service.expected).sum(),
                happened: services.iter().map(|service| service.happened).sum(),
                services,
            }
        });
        Report { totals, learn_until_ms, judged: counts, unjudged, labels, new_services, anomalies, readiness }
    }
}

#[allow(clippy::cast_precision_loss)] // for people
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Lines of a list that people are shown; programs get all.
const SHOWN: usize = 30;

impl Report {
    /// For people.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Totals { connections, answered, unanswered, foreign, services, edges, .. } = self.totals;
        writeln!(out, "{connections} connections ({answered} answered, {unanswered} not, {foreign} of no local host)")?;
        let models: Vec<String> = self.totals.models.iter().map(|(phase, n)| format!("{n} {phase}")).collect();
        writeln!(out, "{services} services, {edges} edges, models: {}", models.join(", "))?;
        writeln!(out, "{} services were first seen after learning ended", self.new_services)?;
        writeln!(
            out,
            "\n{:<44} {:>9} {:>9} {:>10} {:>9} {:>7}",
            "", "ANSWERED", "ANOMALOUS", "UNANSWERED", "ANOMALOUS", "RATE"
        )?;
        line(out, "judged", &self.judged)?;
        writeln!(out, "  {} were of no active model's service", self.unjudged)?;
        for (label, of) in &self.labels {
            line(out, &format!("  {}", printable(label)), &of.judged)?;
            let (caught, edges, unjudged) = (of.anomalous_edges, of.edges, of.unjudged);
            writeln!(out, "    {caught} of {edges} edges are anomalies; {unjudged} were of no active model's service")?;
        }
        writeln!(out, "\n{} edges that a model did not know", self.anomalies.len())?;
        for told in self.anomalies.iter().take(SHOWN) {
            let labels: Vec<&str> = told.labels.iter().map(String::as_str).collect();
            let (yes, no) = (told.answered, told.unanswered);
            writeln!(out, "  {}: {yes} answered, {no} not  {}", printable(&told.edge), printable(&labels.join(", ")))?;
        }
        if self.anomalies.len() > SHOWN {
            writeln!(out, "  … and {} more: -o json has all", self.anomalies.len() - SHOWN)?;
        }
        let Some(readiness) = &self.readiness else { return Ok(()) };
        writeln!(out, "\nreadiness: {:.1} new edges expected, {} came", readiness.expected, readiness.happened)?;
        writeln!(
            out,
            "  {:<32} {:>6} {:>12} {:>12} {:>9} {:>5}",
            "SERVICE", "EDGES", "CONNECTIONS", "NEXT UNSEEN", "EXPECTED", "CAME"
        )?;
        for of in readiness.services.iter().take(SHOWN) {
            let expected = of.expected.map_or_else(|| "–".to_owned(), |events| format!("{events:.1}"));
            let unseen = format!("{:.2} %", of.unseen_probability * 100.0);
            let name = printable(&of.service);
            writeln!(
                out,
                "  {name:<32} {:>6} {:>12} {unseen:>12} {expected:>9} {:>5}",
                of.edges, of.connections, of.happened
            )?;
        }
        Ok(())
    }
}

fn line(out: &mut impl Write, name: &str, counts: &Counts) -> io::Result<()> {
    let Counts { answered, answered_anomalies, unanswered, unanswered_anomalies } = counts;
    let rate = format!("{:.1} %", counts.rate() * 100.0);
    writeln!(
        out,
        "{name:<44} {answered:>9} {answered_anomalies:>9} {unanswered:>10} {unanswered_anomalies:>9} {rate:>7}"
    )
}

/// Text of a recording, with nothing in it that could steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
