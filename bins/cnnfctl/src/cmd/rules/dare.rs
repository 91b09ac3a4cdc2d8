//! `cnnfctl rules simulate|lint|suggest`.

use std::path::PathBuf;

use clap::Args;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;

use super::super::{Asker, heading, peer, port};
use super::apply::read_policy;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, count, print, printable};
use crate::policy_file;
use crate::since::{parse_since, range};

#[derive(Debug, Args)]
pub(in crate::cmd) struct Simulate {
    /// The policy file to try; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only what was seen or prevented since, with what was counted in that time, by whole hours or days: 2h, 7d, or RFC 3339.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    since: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Lint {
    /// Look at a policy file instead of the rules in force; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whether a rule is wider than needed is judged by what was seen since, by whole hours or days: 2h, 30d, or RFC 3339. Otherwise by all that is kept.
    #[arg(long, value_parser = parse_since, value_name = "TIME")]
    since: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(in crate::cmd) struct Suggest {
    /// The service's key or short name.
    service: String,
    /// Two rules more, about everything else from and to the service.
    #[arg(long, value_name = "alert|prevent", value_parser = ["alert", "prevent"])]
    rest: Option<String>,
}

impl Simulate {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let policy = read_policy(&self.file)?;
        let session = asker.connect().await?;
        let (rules, objects, time) = (policy.rules, policy.objects, range(self.since, None));
        let ask = v1::SimulatePolicyRequest { rules, objects, time, live: true };
        let answer = session.answer(session.policy().simulate_policy(request(ask))).await?;
        out.show(&answer, || simulation(&answer, out))?;
        let prevents = answer.prevented.as_ref().is_some_and(|tally| tally.edges > 0);
        if prevents { Err(Failure::Differs) } else { Ok(()) }
    }
}

fn simulation(answer: &v1::SimulatePolicyResponse, out: &Output) -> String {
    let mut sheet = Sheet::new(out, &["WOULD BE", "EDGES", "CONNECTIONS", "IN THE LAST MINUTE", "SERVICES"]);
    let tallies = [
        ("newly prevented", Tone::Bad, &answer.prevented),
        ("newly alerted", Tone::Warn, &answer.alerted),
        ("newly allowed", Tone::Good, &answer.allowed),
    ];
    for (what, tone, tally) in tallies {
        let tally = tally.clone().unwrap_or_default();
        let tone = if tally.edges == 0 { Tone::Faint } else { tone };
        let names: Vec<&str> = tally.services.iter().take(6).map(String::as_str).collect();
        let more = if tally.services.len() > 6 { ", …" } else { "" };
        sheet.row(vec![
            Cell::from(what).tone(tone),
            Cell::number(tally.edges),
            Cell::number(tally.connections),
            Cell::number(tally.recent_edges),
            Cell::from(names.join(", ") + more),
        ]);
    }
    let mut text = sheet.render();
    if !answer.shifts.is_empty() {
        let mut sheet =
            Sheet::new(out, &["CLIENT", "SERVER", "PORT", "CONNECTIONS", "NOW", "THEN", "BECAUSE OF", "AT"]);
        for shift in answer.shifts.iter().take(if out.wide() { usize::MAX } else { 30 }) {
            let edge = shift.edge.clone().unwrap_or_default();
            let (before, after) = (shift.before.clone().unwrap_or_default(), shift.after.clone().unwrap_or_default());
            let why = match (after.rule.as_str(), after.model.as_str()) {
                ("", "") => "no rule and no model".to_owned(),
                ("", model) => format!("the model of {model}"),
                (rule, _) => format!("rule '{rule}'"),
            };
            let observing =
                if after.effect == "prevent" && after.mode == "observe" { ", which only observes" } else { "" };
            let somewhere = if shift.partly { ", elsewhere not" } else { "" };
            let host = if after.host.is_empty() { format!("the {}", after.side) } else { after.host.clone() };
            sheet.row(vec![
                Cell::from(peer(edge.client.as_ref())),
                Cell::from(peer(edge.server.as_ref())),
                Cell::from(port(&edge.protocol, edge.port)),
                Cell::number(shift.connections),
                Cell::word(&before.effect),
                Cell::word(&after.effect),
                Cell::from(why),
                Cell::from(format!("{host}{observing}{somewhere}")),
            ]);
        }
        text = text + "\n" + &heading("the worst and most used", &sheet.render());
    }
    if let Some(cut) = &answer.live {
        text = text + "\n\n" + &live_cut(cut, out);
    }
    let (edges, connections) = (answer.edges, answer.connections);
    format!("{text}\n\n{edges} edges with {connections} connections were judged by the rules in force and by the file")
}

/// What hosts say that a policy would cut now, and which do not.
pub(super) fn live_cut(cut: &v1::LiveCut, out: &Output) -> String {
    let live = count(usize::try_from(cut.connections).unwrap_or(usize::MAX), "live connection");
    let mut text = format!("{live} would be cut now, as {} said", count(cut.hosts as usize, "host"));
    if !cut.silent.is_empty() {
        text += &format!("; of {} it is not known", count(cut.silent.len(), "host"));
    }
    if !cut.cuts.is_empty() {
        let mut sheet = Sheet::new(out, &["HOST", "CLIENT", "SERVER", "PORT", "WOULD BE CUT"]);
        for one in cut.cuts.iter().take(if out.wide() { usize::MAX } else { 30 }) {
            let edge = one.edge.clone().unwrap_or_default();
            sheet.row(vec![
                Cell::from(&one.host),
                Cell::from(peer(edge.client.as_ref())),
                Cell::from(peer(edge.server.as_ref())),
                Cell::from(port(&edge.protocol, edge.port)),
                Cell::number(one.connections),
            ]);
        }
        text = text + "\n" + &sheet.render();
    }
    if !cut.silent.is_empty() {
        let mut sheet = Sheet::new(out, &["HOST", "SAYS NOTHING BECAUSE"]);
        for silent in &cut.silent {
            sheet.row(vec![Cell::from(&silent.host), Cell::from(&silent.why)]);
        }
        text = text + "\n\n" + &sheet.render();
    }
    text
}

impl Lint {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let time = range(self.since, None);
        let ask = match &self.file {
            Some(file) => {
                let policy = read_policy(file)?;
                v1::LintPolicyRequest { draft: true, rules: policy.rules, objects: policy.objects, time }
            }
            None => v1::LintPolicyRequest { time, ..v1::LintPolicyRequest::default() },
        };
        let session = asker.connect().await?;
        let answer = session.answer(session.policy().lint_policy(request(ask))).await?;
        out.show(&answer, || findings(&answer, out))?;
        if answer.cut_short {
            out.note("not all rules were compared with each other: too many of them are alike");
        }
        if self.since.is_some() || answer.findings.iter().any(|finding| finding.fault == "wide") {
            let edges = count(usize::try_from(answer.edges).unwrap_or(usize::MAX), "edge");
            out.note(&match answer.edges_since.as_str() {
                "" => "nothing was seen in that time: so every rule that allows is wide".to_owned(),
                since => format!("what is wide is judged by {edges}, the first of them seen at {since}"),
            });
        }
        if answer.findings.is_empty() { Ok(()) } else { Err(Failure::Differs) }
    }
}

fn findings(answer: &v1::LintPolicyResponse, out: &Output) -> String {
    if answer.findings.is_empty() {
        return "nothing to be said".into();
    }
    let mut sheet = Sheet::new(out, &["RULE", "IS", "WHY", "TO DO"]);
    for finding in &answer.findings {
        let tone = match finding.fault.as_str() {
            "shadowed" | "contradicting" | "expired" => Tone::Warn,
            _ => Tone::Plain,
        };
        sheet.row(vec![
            Cell::from(&finding.rule),
            Cell::from(&finding.fault).tone(tone),
            Cell::from(&finding.why),
            Cell::from(&finding.fix),
        ]);
    }
    sheet.render()
}

impl Suggest {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        let session = asker.connect().await?;
        let ask = v1::SuggestRulesRequest { service: self.service, rest: self.rest.unwrap_or_default() };
        let answer = session.answer(session.policy().suggest_rules(request(ask))).await?;
        if out.yaml() {
            return print(file(&answer)?.trim_end_matches('\n'));
        }
        out.show(&answer, || suggestions(&answer, out))
    }
}

/// A policy file, with each rule's witnesses in its notes.
fn file(answer: &v1::SuggestRulesResponse) -> Result<String, Failure> {
    let rule = |suggestion: &v1::Suggestion| {
        let mut rule = suggestion.rule.clone().unwrap_or_default();
        let witnesses = suggestion.witnesses.iter().take(3).map(witness).collect::<Vec<_>>().join("; ");
        let more = if suggestion.witnesses.len() > 3 { "; …" } else { "" };
        if !witnesses.is_empty() {
            rule.notes = format!("seen: {witnesses}{more}");
        }
        for widened in &suggestion.widened {
            rule.notes += &format!("; widened to {widened}");
        }
        rule
    };
    let rules: Vec<v1::Rule> = answer.suggestions.iter().map(rule).collect();
    policy_file::write(&rules, &answer.objects)
}

fn witness(learned: &v1::LearnedEdge) -> String {
    let edge = learned.edge.clone().unwrap_or_default();
    let (client, server) = (peer(edge.client.as_ref()), peer(edge.server.as_ref()));
    let times = if learned.connections == 1 { "once".to_owned() } else { format!("{} times", learned.connections) };
    format!("{client} to {server} on {} {times}", port(&edge.protocol, edge.port))
}

fn suggestions(answer: &v1::SuggestRulesResponse, out: &Output) -> String {
    if answer.suggestions.is_empty() {
        return "its model knows nothing: there is nothing to allow".into();
    }
    let mut sheet = Sheet::new(out, &["FROM", "TO", "PORTS", "EFFECT", "WITNESSES", "CONNECTIONS", "BEYOND THEM"]);
    for suggestion in &answer.suggestions {
        let rule = suggestion.rule.clone().unwrap_or_default();
        sheet.row(vec![
            Cell::from(&rule.from),
            Cell::from(&rule.to),
            Cell::from(rule.ports.join(" ")),
            Cell::word(&rule.effect),
            Cell::number(suggestion.witnesses.len()),
            Cell::number(suggestion.witnesses.iter().map(|witness| witness.connections).sum::<u64>()),
            Cell::from(suggestion.widened.join("; ")),
        ]);
    }
    let mut text = sheet.render();
    if out.wide() {
        for suggestion in &answer.suggestions {
            let name = suggestion.rule.as_ref().map(|rule| rule.name.clone()).unwrap_or_default();
            let lines: Vec<String> = suggestion.witnesses.iter().map(|w| printable(&witness(w)).into_owned()).collect();
            text = text + "\n" + &heading(&name, &lines.join("\n"));
        }
    }
    text
}
