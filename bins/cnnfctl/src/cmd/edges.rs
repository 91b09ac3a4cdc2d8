//! `cnnfctl edges`.

use clap::Subcommand;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;

use super::{Asker, page, peer, port};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, bytes, printable};
use crate::since::{parse_since, range};

#[derive(Debug, Subcommand)]
pub(super) enum Edges {
    /// Edges with what was seen of them.
    List {
        /// Only from this client: a service's key or short name, or an address.
        #[arg(long, value_name = "CLIENT", default_value = "", hide_default_value = true)]
        from: String,
        /// Only to this server: likewise.
        #[arg(long, value_name = "SERVER", default_value = "", hide_default_value = true)]
        to: String,
        /// Only those seen since then: 1h, 7d, or RFC 3339.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Only those seen until then, likewise. With either, what was counted in that time is shown: by whole hours, or days where
        /// these are old.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        until: Option<Timestamp>,
    },
    /// What is new, gone and changed in a time, against an equally long time before it.
    Diff {
        /// Since then: 1h, 7d, or RFC 3339.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        since: Timestamp,
        /// Until then, likewise; now by default.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        until: Option<Timestamp>,
        /// When the time before begins, likewise, such as a week earlier; by default it ends where the later one begins.
        #[arg(long, value_parser = parse_since, value_name = "TIME")]
        against: Option<Timestamp>,
    },
}

impl Edges {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let (from, to, since, until) = match self {
            Self::List { from, to, since, until } => (from, to, since, until),
            Self::Diff { since, until, against } => return compare(asker, since, until, against).await,
        };
        let session = asker.connect().await?;
        let mut all = v1::ListEdgesResponse::default();
        loop {
            let (from, to) = (from.clone(), to.clone());
            let ask = v1::ListEdgesRequest { from, to, time: range(since, until), page: page(&all.next_token) };
            let next = session.answer(session.topology().list_edges(request(ask))).await?;
            all.edges.extend(next.edges);
            all.next_token = next.next_token;
            if all.next_token.is_empty() {
                break;
            }
        }
        asker.out.show(&all, || table(&all.edges, &asker.out, peer))
    }
}

async fn compare(
    asker: &Asker,
    since: Timestamp,
    until: Option<Timestamp>,
    against: Option<Timestamp>,
) -> Result<(), Failure> {
    let session = asker.connect().await?;
    let ask = v1::DiffEdgesRequest { time: range(Some(since), until), before_ms: against.map_or(0, |at| at.0) };
    let found = session.answer(session.topology().diff_edges(request(ask))).await?;
    asker.out.show(&found, || differences(&found, &asker.out))
}

fn differences(found: &v1::DiffEdgesResponse, out: &Output) -> String {
    let mut sheet =
        Sheet::new(out, &["", "CLIENT", "SERVER", "PORT", "BEFORE", "NOW", "FIRST SEEN", "LAST SEEN", "STATUS"]);
    let mut row = |sign: &str, edge: &v1::ObservedEdge, before: u64, now: u64| {
        sheet.row(vec![
            Cell::from(sign),
            Cell::from(peer(edge.client.as_ref())),
            Cell::from(peer(edge.server.as_ref())),
            Cell::from(port(&edge.protocol, edge.port)),
            Cell::number(before),
            Cell::number(now),
            Cell::from(&edge.first_seen),
            Cell::from(&edge.last_seen),
            Cell::word(&edge.status),
        ]);
    };
    found.new.iter().for_each(|edge| row("+", edge, 0, edge.connections));
    found.gone.iter().for_each(|edge| row("-", edge, edge.connections, 0));
    for changed in &found.changed {
        if let Some(edge) = &changed.edge {
            row("~", edge, changed.connections_before, edge.connections);
        }
    }
    let title = format!(
        "{} new, {} gone, {} changed: {} until {}, against {} until {}",
        found.new.len(),
        found.gone.len(),
        found.changed.len(),
        printable(&found.since),
        printable(&found.until),
        printable(&found.before),
        if found.before_until == found.since { "then".into() } else { printable(&found.before_until) },
    );
    if found.new.is_empty() && found.gone.is_empty() && found.changed.is_empty() {
        return title;
    }
    format!("{title}\n{}", sheet.render())
}

/// A table of edges; `name` says how an end is written.
pub(super) fn table(edges: &[v1::ObservedEdge], out: &Output, name: impl Fn(Option<&v1::Peer>) -> String) -> String {
    let mut header = vec!["CLIENT", "SERVER", "PORT", "CONNECTIONS", "BYTES", "LAST SEEN", "STATUS"];
    if out.wide() {
        header.insert(5, "FIRST SEEN");
    }
    let mut sheet = Sheet::new(out, &header);
    for edge in edges {
        let mut row = vec![
            Cell::from(name(edge.client.as_ref())),
            Cell::from(name(edge.server.as_ref())),
            Cell::from(port(&edge.protocol, edge.port)),
            Cell::number(edge.connections),
            Cell::number(bytes(edge.bytes)),
            Cell::from(&edge.last_seen),
            Cell::word(&edge.status),
        ];
        if out.wide() {
            row.insert(5, Cell::from(&edge.first_seen));
        }
        sheet.row(row);
    }
    sheet.render()
}
