//! `cnnfctl services reach`.

use clap::Args;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;

use super::super::{Asker, heading, page, peer, port};
use super::short;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, printable};
use crate::since::{parse_since, range};

#[derive(Debug, Args)]
pub(in crate::cmd) struct Reach {
    /// Its key or short name.
    service: String,
    /// Against what was seen since then: 1h, 7d, or RFC 3339; by default all that is kept.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    since: Option<Timestamp>,
    /// And until then, likewise.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Also what it may not reach and never did, and ports on which nobody listens.
    #[arg(long)]
    all: bool,
}

impl Reach {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let Self { service, since, until, all } = self;
        let session = asker.connect().await?;
        let mut whole = v1::Reach::default();
        loop {
            let (service, token) = (service.clone(), std::mem::take(&mut whole.next_token));
            let ask = v1::GetReachRequest { service, time: range(since, until), page: page(&token) };
            let mut next = session.answer(session.topology().get_reach(request(ask))).await?;
            next.targets.splice(..0, std::mem::take(&mut whole.targets));
            whole = next;
            if whole.next_token.is_empty() {
                break;
            }
        }
        asker.out.show(&whole, || text(&whole, all, &asker.out))
    }
}

fn text(reach: &v1::Reach, all: bool, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("service", &reach.service);
    let objects = if matches!(reach.phase.as_str(), "" | "active") { "" } else { ": its model objects to nothing yet" };
    sheet.field("phase", format!("{}{objects}", reach.phase));
    for (name, count) in [("services", &reach.services), ("ports", &reach.ports)] {
        let v1::ReachCount { all, may, seen, unused } = count.unwrap_or_default();
        sheet.field(name, format!("{all} listen: {may} may be reached, {seen} were, {unused} may be and never were"));
    }
    if reach.cut_short {
        sheet.field("left out", Cell::from("some, as there was too much to judge").tone(Tone::Warn));
    }
    let mut targets = Sheet::new(out, &["TARGET", "STANDING", "PORTS", "EFFECT", "BY", "LISTENS ON", "CONNECTIONS"]);
    let mut shown = 0;
    for target in reach.targets.iter().filter(|target| all || target.standing != "refused") {
        let is_service = target.peer.as_ref().is_some_and(|peer| !peer.service.is_empty());
        let matters = |way: &&v1::ReachWay| {
            all || if is_service { !(way.listening.is_empty() && way.seen.is_empty()) } else { !way.failsafe }
        };
        for (n, way) in target.ways.iter().filter(matters).enumerate() {
            let first = n == 0;
            let tone = match target.standing.as_str() {
                "unused" => Tone::Warn,
                "cut" => Tone::Bad,
                "used" => Tone::Good,
                _ => Tone::Faint,
            };
            targets.row(vec![
                Cell::from(if first { peer(target.peer.as_ref()) } else { " ".into() }),
                Cell::from(if first { target.standing.as_str() } else { " " }).tone(tone),
                Cell::from(if n > 0 && way.ports == ["any"] { "any other".into() } else { way.ports.join(" ") }),
                effect(way),
                Cell::from(by(way)),
                Cell::from(short(way.listening.clone(), out)),
                Cell::from(short(way.seen.iter().map(seen).collect(), out)),
            ]);
            shown += 1;
        }
    }
    let hidden = reach.targets.iter().filter(|target| !all && target.standing == "refused").count();
    let hidden = if hidden == 0 { String::new() } else { format!(", without {hidden} refused (--all shows them)") };
    let body = if shown == 0 { "–".to_owned() } else { targets.render() };
    sheet.render() + "\n" + &heading(&format!("targets{hidden}"), &body)
}

fn effect(way: &v1::ReachWay) -> Cell {
    let partly = if way.partly { ", not everywhere" } else { "" };
    let observed = if way.effect == "prevent" && !way.refused { ", but only observed" } else { "" };
    let cell = Cell::from(format!("{}{observed}{partly}", way.effect));
    cell.tone(if way.refused { Tone::Bad } else { Tone::of(&way.effect) })
}

fn by(way: &v1::ReachWay) -> String {
    match (way.rule.as_str(), way.model.as_str()) {
        (rule, _) if !rule.is_empty() => format!("rule {}", printable(rule)),
        (_, model) if !model.is_empty() => format!("model of {}", printable(model)),
        _ if way.failsafe => "a failsafe".to_owned(),
        _ => "nothing".to_owned(),
    }
}

/// `tcp/5432 ×120`.
fn seen(seen: &v1::ReachSeen) -> String {
    format!("{} ×{}", port(&seen.protocol, seen.port), seen.connections)
}
