//! The picture in Graphviz's language (<https://graphviz.org/doc/info/lang.html>).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cnnf_rpc::v1;

use super::super::{peer, port};
use super::names;
use crate::output::printable;

/// Draws the picture.
pub(super) fn draw(radar: &v1::Radar) -> String {
    let names = names(radar);
    let mut dot = String::from(
        "digraph radar {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    let mut groups: BTreeMap<&str, Vec<&v1::RadarNode>> = BTreeMap::new();
    for node in &radar.nodes {
        groups.entry(&node.group).or_default().push(node);
    }
    for (n, (group, nodes)) in groups.iter().enumerate() {
        let indent = if group.is_empty() { "  " } else { "    " };
        if !group.is_empty() {
            let _ = writeln!(dot, "  subgraph cluster_{n} {{\n    label={};\n    color=grey60;", quote(group));
        }
        for node in nodes {
            let name = names.get(node.id.as_str()).copied().unwrap_or_default();
            let _ = writeln!(dot, "{indent}{} [{}];", quote(&node.id), node_attributes(node, name));
        }
        if !group.is_empty() {
            dot.push_str("  }\n");
        }
    }
    for edge in &radar.edges {
        let (client, server) = (quote(&peer(edge.client.as_ref())), quote(&peer(edge.server.as_ref())));
        let label = quote(&port(&edge.protocol, edge.port));
        let _ = writeln!(dot, "  {client} -> {server} [label={label}, {}];", edge_attributes(&edge.status));
    }
    dot.push_str("}\n");
    dot
}

fn node_attributes(node: &v1::RadarNode, name: &str) -> String {
    let label = if node.instances > 1 { format!("{name} ×{}", node.instances) } else { name.to_owned() };
    let shape = if node.kind == "service" { "" } else { ", shape=ellipse, style=filled, fillcolor=grey95" };
    let color = match node.worst.as_str() {
        "prevented" => ", color=red, penwidth=2",
        "alerted" => ", color=orange, penwidth=2",
        _ => "",
    };
    format!("label={}{shape}{color}", quote(&label))
}

fn edge_attributes(status: &str) -> String {
    let look = match status {
        "prevented" => "color=red, fontcolor=red, penwidth=2",
        "alerted" => "color=orange, fontcolor=orange, penwidth=2, style=dashed",
        "unlearned" => "color=gold3, style=dashed",
        "learning" => "color=grey50, style=dotted",
        "learned" => "color=forestgreen",
        "by_rule" => "color=steelblue",
        _ => "color=black",
    };
    format!("{look}, tooltip={}", quote(status))
}

/// A quoted id. Within quotes only a quote ends it; a backslash is doubled as labels know escapes.
fn quote(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        assert_eq!(quote("a\\"), r#""a\\""#);
        assert_eq!(quote("a\nb"), r#""a\\nb""#);
    }
}
