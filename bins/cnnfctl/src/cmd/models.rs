//! `cnnfctl models`.

use clap::Subcommand;
use cnnf_rpc::v1;

use super::rules::Reason;
use super::{Asker, heading, page, peer, port};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, count, printable};

/// How an edge is written.
const EDGE_HELP: &str = "\
An EDGE is written as the service sees it: a direction, the other end, and the server's port.

  to unit:postgresql tcp/5432      the service opens connections to PostgreSQL
  from 10.0.0.0/8 tcp/443          it is addressed from that network
  from internet udp/53             …from anywhere on the internet; 'private' are all private addresses
  to object:office icmp            …to a declared address object
  to 192.0.2.7 tcp/dynamic         …on ephemeral ports, from 32768 on

The other end is a service's key or short name, an address, a network, a range, object:NAME, private or internet. An edge between
two services is in the models of both: 'cnnfctl explain' says whose model objects.";

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// All models.
    List,
    /// One model with its edges.
    Show {
        /// The service's key or short name.
        service: String,
    },
    /// Learn anew: adds to what is known, and forgets nothing.
    Relearn {
        /// The service's key or short name.
        service: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Forget everything, and learn anew.
    Reset {
        /// The service's key or short name.
        service: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// Learn by hand, without a limit of time.
    #[command(subcommand)]
    Learn(Learn),
    /// Add an edge to a model: from now on it is no anomaly to this service.
    #[command(after_long_help = EDGE_HELP, after_help = EDGE_HELP)]
    Approve {
        /// The service's key or short name.
        service: String,
        /// The edge, such as: to unit:postgresql tcp/5432
        #[arg(num_args = 0..=3, required_unless_present = "event", value_name = "EDGE")]
        edge: Vec<String>,
        /// The edge of this event instead: its number.
        #[arg(long, value_name = "ID", conflicts_with = "edge", value_parser = clap::value_parser!(u64).range(1..))]
        event: Option<u64>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Remove an edge from a model: an anomaly once it is active; before, it is learned again when it is seen again.
    #[command(after_long_help = EDGE_HELP, after_help = EDGE_HELP)]
    Forget {
        /// The service's key or short name.
        service: String,
        /// The edge as 'models show' lists it, such as: to unit:postgresql tcp/5432
        #[arg(num_args = 1..=3, required = true, value_name = "EDGE")]
        edge: Vec<String>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// End learning now: from then on an edge outside the model is an anomaly.
    Activate {
        /// The service's key or short name.
        service: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Say what an anomaly of this service does.
    Effect {
        /// The service's key or short name.
        service: String,
        /// What it does.
        effect: AnomalyEffect,
        #[command(flatten)]
        reason: Reason,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Learn {
    /// Learn until 'learn stop'; forgets nothing.
    Start {
        /// The service's key or short name.
        service: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// End what 'learn start' began: the dry run follows.
    Stop {
        /// The service's key or short name.
        service: String,
        #[command(flatten)]
        reason: Reason,
    },
}

/// What an anomaly does.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum AnomalyEffect {
    /// It passes, and an event says so.
    Alert,
    /// It is refused, and an event says so.
    Prevent,
    /// What the setting anomaly_effect says.
    Default,
}

impl AnomalyEffect {
    fn word(self) -> String {
        match self {
            Self::Alert => "alert",
            Self::Prevent => "prevent",
            Self::Default => "",
        }
        .to_owned()
    }
}

/// An edge from the words that people write, quoted together or not.
fn edge(words: &[String]) -> Result<v1::EdgeOfService, Failure> {
    let text = words.join(" ");
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [direction @ ("to" | "from"), peer, port] => {
            Ok(v1::EdgeOfService { direction: direction.into(), peer: peer.into(), port: port.into() })
        }
        _ => Err(Failure::Usage(format!(
            "'{}' is no edge: write for example 'to unit:postgresql tcp/5432' or 'from 10.0.0.0/8 tcp/443'",
            printable(&text)
        ))),
    }
}

impl Models {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::List => {
                let session = asker.connect().await?;
                let mut all = v1::ListModelsResponse::default();
                loop {
                    let ask = v1::ListModelsRequest { page: page(&all.next_token) };
                    let next = session.answer(session.models().list_models(request(ask))).await?;
                    all.models.extend(next.models);
                    all.next_token = next.next_token;
                    if all.next_token.is_empty() {
                        break;
                    }
                }
                out.show(&all, || list(&all.models, out))
            }
            Self::Show { service } => {
                let session = asker.connect().await?;
                let ask = v1::GetModelRequest { service };
                let model = session.answer(session.models().get_model(request(ask))).await?;
                out.show(&model, || show(&model, out))
            }
            Self::Relearn { service, reason } => {
                let session = asker.connect().await?;
                let ask = v1::RelearnModelRequest { service, reason: reason.text() };
                let model = session.answer(session.models().relearn_model(request(ask))).await?;
                out.done(&model, || format!("{}, and forgets nothing", phase(&model)))
            }
            Self::Reset { service, yes, reason } => {
                confirm(&format!("forget all that the model of '{}' knows", printable(&service)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::ResetModelRequest { service, reason: reason.text() };
                let model = session.answer(session.models().reset_model(request(ask))).await?;
                out.done(&model, || format!("{}, and knows nothing", phase(&model)))
            }
            Self::Learn(Learn::Start { service, reason }) => {
                let session = asker.connect().await?;
                let ask = v1::StartLearningRequest { service, reason: reason.text() };
                let model = session.answer(session.models().start_learning(request(ask))).await?;
                out.done(&model, || format!("{}, until 'models learn stop'", phase(&model)))
            }
            Self::Learn(Learn::Stop { service, reason }) => {
                let session = asker.connect().await?;
                let ask = v1::StopLearningRequest { service, reason: reason.text() };
                let model = session.answer(session.models().stop_learning(request(ask))).await?;
                out.done(&model, || phase(&model))
            }
            Self::Approve { service, edge: words, event, reason } => {
                let written = if event.is_some() { None } else { Some(edge(&words)?) };
                let session = asker.connect().await?;
                let ask =
                    v1::ApproveEdgeRequest { service, edge: written, event: event.unwrap_or(0), reason: reason.text() };
                let model = session.answer(session.models().approve_edge(request(ask))).await?;
                out.done(&model, || format!("the edge is approved: {}", knows(&model)))
            }
            Self::Forget { service, edge: words, yes, reason } => {
                let written = edge(&words)?;
                let text = format!("{} {} {}", written.direction, written.peer, written.port);
                confirm(&format!("forget the edge '{}' of '{}'", printable(&text), printable(&service)), yes)?;
                let session = asker.connect().await?;
                let ask = v1::ForgetEdgeRequest { service, edge: Some(written), reason: reason.text() };
                let model = session.answer(session.models().forget_edge(request(ask))).await?;
                out.done(&model, || format!("the edge is forgotten: {}", knows(&model)))
            }
            Self::Activate { service, reason } => {
                let session = asker.connect().await?;
                let ask = v1::ActivateModelRequest { service, reason: reason.text() };
                let model = session.answer(session.models().activate_model(request(ask))).await?;
                out.done(&model, || {
                    let (service, phase) = (printable(&model.service), printable(&model.phase));
                    format!("the model of {service} is {phase}: what it does not know is {}", what_happens(&model))
                })
            }
            Self::Effect { service, effect, reason } => {
                let session = asker.connect().await?;
                let ask = v1::SetAnomalyEffectRequest { service, effect: effect.word(), reason: reason.text() };
                let model = session.answer(session.models().set_anomaly_effect(request(ask))).await?;
                out.done(&model, || {
                    format!("what the model of {} does not know is {}", printable(&model.service), what_happens(&model))
                })
            }
        }
    }
}

/// `the model of unit:nginx is in learning`.
fn phase(model: &v1::Model) -> String {
    let (service, phase) = (printable(&model.service), printable(&model.phase));
    match model.resume.as_str() {
        "" => format!("the model of {service} is in {phase}"),
        resume => format!("the model of {service} is {phase} and returns to {}", printable(resume)),
    }
}

/// `the model of unit:nginx knows 3 edges`.
fn knows(model: &v1::Model) -> String {
    format!("the model of {} knows {}", printable(&model.service), count(model.edge_count as usize, "edge"))
}

fn what_happens(model: &v1::Model) -> &'static str {
    if model.anomaly_effect == "prevent" { "prevented" } else { "alerted" }
}

fn chance(model: &v1::Model) -> String {
    format!("{:.1} %", model.unseen_probability * 100.0)
}

/// Expected events a day; a dash where nothing was seen.
fn expected(model: &v1::Model) -> String {
    match model.expected_events {
        None => "–".to_owned(),
        Some(events) if events < 100.0 => format!("{events:.1}"),
        Some(events) => format!("{events:.0}"),
    }
}

fn phase_cell(model: &v1::Model) -> Cell {
    let tone = Tone::of(&model.phase);
    match (model.manual, model.resume.as_str()) {
        (true, "") => Cell::from(format!("{} by hand", model.phase)).tone(tone),
        (_, "") => Cell::word(&model.phase),
        (_, resume) => Cell::from(format!("{} from {resume}", model.phase)).tone(tone),
    }
}

fn list(models: &[v1::Model], out: &Output) -> String {
    let header =
        ["SERVICE", "PHASE", "SINCE", "OBSERVED", "EDGES", "CONNECTIONS", "NEXT UNSEEN", "EVENTS/DAY", "ANOMALY"];
    let mut sheet = Sheet::new(out, &header);
    for model in models {
        sheet.row(vec![
            Cell::from(&model.service),
            phase_cell(model),
            Cell::from(&model.since),
            Cell::from(&model.observed),
            Cell::number(model.edge_count),
            Cell::number(model.connections),
            Cell::number(chance(model)),
            Cell::number(expected(model)),
            Cell::word(&model.anomaly_effect),
        ]);
    }
    sheet.render()
}

/// How an edge came into the model, where that is worth a word.
fn origin(word: &str) -> &str {
    match word {
        "would_alert" => "would have alerted",
        "learned" => "",
        other => other,
    }
}

fn show(model: &v1::Model, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("service", &model.service);
    sheet.field("phase", phase_cell(model));
    sheet.field("since", &model.since);
    sheet.field("observed", &model.observed);
    sheet.field("connections", model.connections.to_string());
    sheet.field("next unseen", format!("{} of connections, by Good and Turing", chance(model)));
    if model.expected_events.is_some() {
        let days = format!("{} a day of running, if it were active now", expected(model));
        sheet.field("expected events", days);
    }
    sheet.field("counted for", &model.exposed);
    sheet.field("anomaly", Cell::word(&model.anomaly_effect));
    let mut edges = Sheet::new(out, &["CLIENT", "SERVER", "PORT", "CONNECTIONS", "FIRST SEEN", "LAST SEEN", "ORIGIN"]);
    for learned in &model.edges {
        let Some(edge) = &learned.edge else { continue };
        edges.row(vec![
            Cell::from(peer(edge.client.as_ref())),
            Cell::from(peer(edge.server.as_ref())),
            Cell::from(port(&edge.protocol, edge.port)),
            Cell::number(learned.connections),
            Cell::from(&learned.first_seen),
            Cell::from(&learned.last_seen),
            Cell::from(origin(&learned.origin)),
        ]);
    }
    let edges = heading("edges", &edges.render());
    if model.decisions.is_empty() {
        return sheet.render() + "\n" + &edges;
    }
    let mut decisions = Sheet::new(out, &["AT", "WHO", "WHAT", "PHASE", "EDGES", "WHY"]);
    for one in &model.decisions {
        let what = match (one.action.as_str(), one.edge.as_str()) {
            ("effect", _) if one.anomaly_effect.is_empty() => "effect default".to_owned(),
            ("effect", _) => format!("effect {}", one.anomaly_effect),
            (action, "") => action.replace('_', " "),
            (action, edge) => format!("{action} {edge}"),
        };
        let from_to =
            |before: String, after: String| if before == after { after } else { format!("{before} → {after}") };
        decisions.row(vec![
            Cell::from(&one.at),
            Cell::from(&one.who),
            Cell::from(what),
            Cell::from(from_to(one.phase_before.clone(), one.phase.clone())),
            Cell::from(from_to(one.edges_before.to_string(), one.edges.to_string())),
            Cell::from(&one.reason),
        ]);
    }
    sheet.render() + "\n" + &edges + "\n" + &heading("decisions", &decisions.render())
}
