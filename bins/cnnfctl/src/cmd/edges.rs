//! `cnnfctl edges`.

use clap::Subcommand;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;

use super::{Asker, page, peer, port};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, bytes};
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
    },
}

impl Edges {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let Self::List { from, to, since } = self;
        let session = asker.connect().await?;
        let mut all = v1::ListEdgesResponse::default();
        loop {
            let (from, to) = (from.clone(), to.clone());
            let ask = v1::ListEdgesRequest { from, to, time: range(since), page: page(&all.next_token) };
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
