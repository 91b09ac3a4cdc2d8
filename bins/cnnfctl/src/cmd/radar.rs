//! `cnnfctl radar`.

mod dot;

use std::collections::BTreeMap;

use clap::Args;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;

use super::{Asker, edges, heading, peer};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet};
use crate::since::{parse_since, range};

#[derive(Debug, Args)]
pub(super) struct Radar {
    /// Only services and addresses that have edges.
    #[arg(long)]
    connected: bool,
    /// Only edges seen since then: 1h, 7d, or RFC 3339.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only edges seen until then, likewise. With either, what was counted in that time is shown: by whole hours, or days where these
    /// are old.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only edges with this in the name or key of an end.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,
    /// Only edges with a service at an end that runs on a host with this label. Can be repeated: all are needed.
    #[arg(long = "label", value_parser = label, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
    /// Only edges on these server ports, such as tcp/80,8000-8100. Can be repeated.
    #[arg(long, value_name = "PORTS")]
    ports: Vec<String>,
    /// Only edges that stand so: prevented, alerted, unlearned, learning, learned, by_rule. Can be repeated, or with commas between.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    /// Put services together by their host or by a label of their hosts: host, or label:KEY.
    #[arg(long, value_parser = group, value_name = "WHAT")]
    group_by: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE such as env=prod".into()),
    }
}

fn group(text: &str) -> Result<String, String> {
    match text.strip_prefix("label:") {
        Some(key) if !key.is_empty() => Ok(text.to_owned()),
        _ if text == "host" => Ok(text.to_owned()),
        _ => Err("write host, or label:KEY such as label:env".into()),
    }
}

impl Radar {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let group_by = self.group_by.unwrap_or_default();
        let ask = v1::GetRadarRequest {
            connected: self.connected,
            time: range(self.since, self.until),
            group_by: group_by.clone(),
            name: self.name,
            labels: self.labels.into_iter().collect(),
            ports: self.ports,
            statuses: self.status,
        };
        let radar = session.answer(session.topology().get_radar(request(ask))).await?;
        let out = &asker.out;
        out.show(&radar, || if out.dot() { dot::draw(&radar) } else { people(&radar, !group_by.is_empty(), out) })
    }
}

fn people(radar: &v1::Radar, grouped: bool, out: &Output) -> String {
    let names = names(radar);
    let mut header = vec!["NAME", "KIND", "×", "HOSTS", "PHASE", "MODE", "STATUS"];
    if grouped {
        header.insert(0, "GROUP");
    }
    if out.wide() {
        header.push("KEY");
    }
    let mut sheet = Sheet::new(out, &header);
    for node in &radar.nodes {
        let mut row = vec![
            Cell::from(names.get(node.id.as_str()).unwrap_or(&node.name.as_str())),
            Cell::from(&node.kind),
            Cell::number(if node.kind == "service" { node.instances.to_string() } else { String::new() }),
            Cell::from(node.hosts.join(", ")),
            Cell::word(&node.phase),
            Cell::word(&node.mode),
            Cell::word(&node.worst),
        ];
        if grouped {
            row.insert(0, Cell::from(&node.group));
        }
        if out.wide() {
            row.push(Cell::from(&node.id));
        }
        sheet.row(row);
    }
    let name = |end: Option<&v1::Peer>| {
        let id = peer(end);
        names.get(id.as_str()).map_or(id.clone(), |name| (*name).to_owned())
    };
    let edges = edges::table(&radar.edges, out, name);
    sheet.render() + "\n" + &heading("edges", &edges)
}

/// What nodes are called: their short names where only one has it, else their ids.
fn names(radar: &v1::Radar) -> BTreeMap<&str, &str> {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &radar.nodes {
        *uses.entry(&node.name).or_default() += 1;
    }
    let name = |node: &'_ v1::RadarNode| !node.name.is_empty() && uses.get(node.name.as_str()) == Some(&1);
    radar.nodes.iter().map(|n| (n.id.as_str(), if name(n) { n.name.as_str() } else { n.id.as_str() })).collect()
}
