//! What each view shows: its columns, and a row for each thing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cnnf_rpc::v1;

use super::super::events::people::{because, details, party, process};
use super::super::{defenders, edges, peer, port};
use super::feed::Answer;
use crate::output::{Cell, Format, Output, Sheet, Tone, bytes};

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum View {
    /// Services, the busiest first.
    Services,
    /// Who talks to whom, the busiest first.
    Edges,
    /// Events, the newest first.
    Events,
    /// Hosts by name.
    Hosts,
}

impl View {
    pub(super) const ALL: [Self; 4] = [Self::Services, Self::Edges, Self::Events, Self::Hosts];

    /// The topics of `WatchChanges` with which it looks different.
    pub(super) fn topics(self) -> &'static [&'static str] {
        match self {
            // The picture has marks of events, and phases of models.
            Self::Services | Self::Edges => &["topology", "events", "models", "policy"],
            Self::Events => &["events"],
            Self::Hosts => &["fleet"],
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Services => "Services",
            Self::Edges => "Edges",
            Self::Events => "Events",
            Self::Hosts => "Hosts",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        const fn column(title: &'static str, weight: u8) -> Column {
            Column { title, weight }
        }
        const SERVICES: &[Column] = &[
            column("SERVICE", 9),
            column("HOSTS", 5),
            column("IN/S", 8),
            column("OUT/S", 6),
            column("IN", 4),
            column("OUT", 3),
            column("BYTES", 2),
            column("STATUS", 7),
            column("PHASE", 1),
            column("MODE", 0),
        ];
        const EDGES: &[Column] = &[
            column("CLIENT", 9),
            column("SERVER", 8),
            column("PORT", 5),
            column("CONN/S", 6),
            column("CONNECTIONS", 3),
            column("BYTES", 2),
            column("LAST SEEN", 1),
            column("STATUS", 7),
        ];
        const EVENTS: &[Column] = &[
            column("ID", 3),
            column("LAST SEEN", 4),
            column("KIND", 9),
            column("CLIENT", 8),
            column("SERVER", 7),
            column("PORT", 2),
            column("BECAUSE OF", 5),
            column("×", 1),
            column("PROCESS", 6),
        ];
        const HOSTS: &[Column] = &[
            column("HOST", 9),
            column("CONNECTED", 8),
            column("MODE", 6),
            column("POLICY", 7),
            column("QUEUE", 3),
            column("NOT COVERED", 5),
            column("LAST SEEN", 4),
            column("VERSION", 1),
            column("ADDRESSES", 2),
        ];
        match self {
            Self::Services => SERVICES,
            Self::Edges => EDGES,
            Self::Events => EVENTS,
            Self::Hosts => HOSTS,
        }
    }

    /// The column that it is sorted by at first, and whether the largest is first.
    pub(super) fn order(self) -> (usize, bool) {
        match self {
            Self::Services => (2, true),
            Self::Edges => (3, true),
            Self::Events => (1, true),
            Self::Hosts => (0, false),
        }
    }
}

/// A column: of those that do not fit the ones with the smallest weights are left out.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) weight: u8,
}

/// A text in a column. Safe for a terminal.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) tone: Tone,
    /// For columns of numbers, which are sorted by it and stand to the right.
    pub(super) number: Option<f64>,
}

impl From<Cell> for Field {
    fn from(cell: Cell) -> Self {
        let (text, tone) = cell.into_parts();
        Self { text, tone, number: None }
    }
}

fn text(text: impl AsRef<str>) -> Field {
    Cell::from(text).into()
}

fn word(word: &str) -> Field {
    Field { tone: Tone::of(word), ..text(word) }
}

#[allow(clippy::cast_precision_loss)] // To sort by.
fn number(value: u64, text: impl ToString) -> Field {
    Field { text: text.to_string(), tone: Tone::Plain, number: Some(value as f64) }
}

fn rate(rate: f64) -> Field {
    let text = match rate {
        0.0 => "–".to_owned(),
        ..0.1 => "<0.1".to_owned(),
        ..10.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    };
    Field { text, tone: Tone::Plain, number: Some(rate) }
}

/// A thing of a view.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The same for the same thing in every answer.
    pub(super) id: String,
    pub(super) fields: Vec<Field>,
}

/// How often edges are used: connections a second, a mean in which what is some seconds old counts little.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<String, (u64, f64)>);

impl Rates {
    /// A time after which a rate counts a third of what it did. Hosts report each second, so that it does not flicker.
    const MEMORY: f64 = 5.0;

    /// Takes in the counts of a picture that came so long after the one before.
    pub(super) fn count(&mut self, radar: &v1::Radar, elapsed: Duration) {
        let elapsed = elapsed.as_secs_f64().max(0.001);
        let keep = (-elapsed / Self::MEMORY).exp();
        let now = radar.edges.iter().map(|edge| {
            let id = edge_id(edge);
            let rate = self.0.get(&id).map_or(0.0, |(before, rate)| {
                #[allow(clippy::cast_precision_loss)] // One digit is shown.
                let new = edge.connections.saturating_sub(*before) as f64 / elapsed;
                let rate = rate * keep + new * (1.0 - keep);
                if rate < 0.01 { 0.0 } else { rate }
            });
            (id, (edge.connections, rate))
        });
        self.0 = now.collect();
    }

    fn of(&self, edge: &v1::ObservedEdge) -> f64 {
        self.0.get(&edge_id(edge)).map_or(0.0, |(_, rate)| *rate)
    }
}

fn edge_id(edge: &v1::ObservedEdge) -> String {
    format!("{}\n{}\n{}", peer(edge.client.as_ref()), peer(edge.server.as_ref()), port(&edge.protocol, edge.port))
}

/// The rows of a view, in the order of the answer; none if that is of another view.
pub(super) fn rows(view: View, answer: &Answer, rates: &Rates) -> Vec<Row> {
    match (view, answer) {
        (View::Services, Answer::Picture(radar)) => services(radar, rates),
        (View::Edges, Answer::Picture(radar)) => {
            let mut edges: Vec<_> = radar.edges.iter().collect();
            edges.sort_by_key(|edge| std::cmp::Reverse(edge.connections));
            edges.into_iter().map(|edge| edge_row(edge, rates)).collect()
        }
        (View::Events, Answer::Events(events)) => events.iter().map(event).collect(),
        (View::Hosts, Answer::Hosts(hosts)) => hosts.iter().map(host).collect(),
        _ => Vec::new(),
    }
}

/// What flows into a service and out of it.
#[derive(Default)]
struct Flow {
    rate_in: f64,
    rate_out: f64,
    taken: u64,
    opened: u64,
    bytes: u64,
}

fn services(radar: &v1::Radar, rates: &Rates) -> Vec<Row> {
    let mut flows: BTreeMap<String, Flow> = BTreeMap::new();
    for edge in &radar.edges {
        let rate = rates.of(edge);
        let client = flows.entry(peer(edge.client.as_ref())).or_default();
        (client.rate_out, client.opened) = (client.rate_out + rate, client.opened + edge.connections);
        client.bytes += edge.bytes;
        let server = flows.entry(peer(edge.server.as_ref())).or_default();
        (server.rate_in, server.taken) = (server.rate_in + rate, server.taken + edge.connections);
        server.bytes += edge.bytes;
    }
    let mut services: Vec<_> = radar.nodes.iter().filter(|node| node.kind == "service").collect();
    services.sort_by_key(|node| std::cmp::Reverse(flows.get(&node.id).map_or(0, |flow| flow.taken + flow.opened)));
    let none = Flow::default();
    let row = |node: &&v1::RadarNode| {
        let flow = flows.get(&node.id).unwrap_or(&none);
        let hosts = match node.hosts.as_slice() {
            [host] => host.clone(),
            hosts => hosts.len().to_string(),
        };
        let name = Field { tone: if node.instances == 0 { Tone::Faint } else { Tone::Plain }, ..text(&node.id) };
        let fields = vec![
            name,
            text(hosts),
            rate(flow.rate_in),
            rate(flow.rate_out),
            number(flow.taken, flow.taken),
            number(flow.opened, flow.opened),
            number(flow.bytes, bytes(flow.bytes)),
            word(&node.worst),
            word(&node.phase),
            word(&node.mode),
        ];
        Row { id: node.id.clone(), fields }
    };
    services.iter().map(row).collect()
}

fn edge_row(edge: &v1::ObservedEdge, rates: &Rates) -> Row {
    let fields = vec![
        text(peer(edge.client.as_ref())),
        text(peer(edge.server.as_ref())),
        text(port(&edge.protocol, edge.port)),
        rate(rates.of(edge)),
        number(edge.connections, edge.connections),
        number(edge.bytes, bytes(edge.bytes)),
        text(&edge.last_seen),
        word(&edge.status),
    ];
    Row { id: edge_id(edge), fields }
}

fn event(event: &v1::Event) -> Row {
    let mut fields = vec![
        number(event.id, event.id),
        text(&event.last_seen),
        word(&event.kind),
        text(party(event.client.as_ref(), false)),
        text(party(event.server.as_ref(), false)),
        text(if event.protocol.is_empty() { String::new() } else { port(&event.protocol, event.port) }),
        text(because(event)),
        number(event.count, event.count),
        text(event.process.as_ref().map(|p| process(p, false)).unwrap_or_default()),
    ];
    if event.acknowledged {
        fields.iter_mut().for_each(|field| field.tone = Tone::Faint);
    }
    Row { id: event.id.to_string(), fields }
}

fn host(host: &v1::Defender) -> Row {
    let uncovered = host.not_covered.len() as u64;
    let covered = number(uncovered, if uncovered == 0 { "–".to_owned() } else { uncovered.to_string() });
    let fields = vec![
        text(&host.host),
        defenders::connected(host).into(),
        word(&host.mode),
        defenders::policy(host).into(),
        word(&host.queue),
        Field { tone: if uncovered == 0 { Tone::Faint } else { Tone::Warn }, ..covered },
        text(&host.last_seen),
        defenders::version(host).into(),
        text(host.addresses.join(", ")),
    ];
    Row { id: host.id.clone(), fields }
}

/// All that is known of the thing with this id, in lines of this width; nothing if it is not there any more.
pub(super) fn about(view: View, answer: &Answer, id: &str, width: u16) -> Option<String> {
    let out = Output::plain(Format::Wide, Some(width));
    match (view, answer) {
        (View::Services, Answer::Picture(radar)) => {
            let node = radar.nodes.iter().find(|node| node.id == id)?;
            let mut sheet = Sheet::of_fields(&out);
            sheet.field("service", &node.id);
            sheet.field("hosts", node.hosts.join(", "));
            sheet.field("phase", Cell::word(&node.phase));
            sheet.field("mode", Cell::word(&node.mode));
            let part = |edge: &&v1::ObservedEdge| {
                [&edge.client, &edge.server].into_iter().any(|end| peer(end.as_ref()) == node.id)
            };
            let edges: Vec<_> = radar.edges.iter().filter(part).cloned().collect();
            let table = edges::table(&edges, &Output::plain(Format::Table, Some(width)), peer);
            Some(sheet.render() + "\n\n" + &table)
        }
        (View::Edges, Answer::Picture(radar)) => {
            let edge = radar.edges.iter().find(|edge| edge_id(edge) == id)?;
            let mut sheet = Sheet::of_fields(&out);
            sheet.field("client", peer(edge.client.as_ref()));
            sheet.field("server", peer(edge.server.as_ref()));
            sheet.field("port", port(&edge.protocol, edge.port));
            sheet.field("status", Cell::word(&edge.status));
            sheet.field("connections", edge.connections.to_string());
            sheet.field("bytes", bytes(edge.bytes));
            sheet.field("first seen", &edge.first_seen);
            sheet.field("last seen", &edge.last_seen);
            Some(sheet.render())
        }
        (View::Events, Answer::Events(events)) => {
            events.iter().find(|event| event.id.to_string() == id).map(|event| details(event, &out))
        }
        (View::Hosts, Answer::Hosts(hosts)) => {
            hosts.iter().find(|host| host.id == id).map(|host| defenders::show(host, &out))
        }
        _ => None,
    }
}
