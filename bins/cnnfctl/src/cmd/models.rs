//! `cnnfctl models`.

use clap::Subcommand;
use cnnf_rpc::v1;

use super::{Asker, heading, page, peer, port};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// All models.
    List,
    /// One model with its edges.
    Show {
        /// The service's key or short name.
        service: String,
    },
    /// End learning now: from then on an edge outside the model is an anomaly.
    Activate {
        /// The service's key or short name.
        service: String,
    },
}

impl Models {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let out = &asker.out;
        match self {
            Self::List => {
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
                let ask = v1::GetModelRequest { service };
                let model = session.answer(session.models().get_model(request(ask))).await?;
                out.show(&model, || show(&model, out))
            }
            Self::Activate { service } => {
                let ask = v1::ActivateModelRequest { service };
                let model = session.answer(session.models().activate_model(request(ask))).await?;
                out.done(&model, || {
                    let (service, phase) = (printable(&model.service), printable(&model.phase));
                    format!("the model of {service} is {phase}: what it does not know is {}", what_happens(&model))
                })
            }
        }
    }
}

fn what_happens(model: &v1::Model) -> &'static str {
    if model.anomaly_effect == "prevent" { "prevented" } else { "alerted" }
}

fn chance(model: &v1::Model) -> String {
    format!("{:.1} %", model.unseen_probability * 100.0)
}

fn list(models: &[v1::Model], out: &Output) -> String {
    let header = ["SERVICE", "PHASE", "SINCE", "OBSERVED", "EDGES", "CONNECTIONS", "NEXT UNSEEN", "ANOMALY"];
    let mut sheet = Sheet::new(out, &header);
    for model in models {
        sheet.row(vec![
            Cell::from(&model.service),
            Cell::word(&model.phase),
            Cell::from(&model.since),
            Cell::from(&model.observed),
            Cell::number(model.edge_count),
            Cell::number(model.connections),
            Cell::number(chance(model)),
            Cell::word(&model.anomaly_effect),
        ]);
    }
    sheet.render()
}

fn show(model: &v1::Model, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("service", &model.service);
    sheet.field("phase", Cell::word(&model.phase));
    sheet.field("since", &model.since);
    sheet.field("observed", &model.observed);
    sheet.field("connections", model.connections.to_string());
    sheet.field("next unseen", format!("{} of connections, by Good and Turing", chance(model)));
    sheet.field("anomaly", Cell::word(&model.anomaly_effect));
    let mut edges = Sheet::new(out, &["CLIENT", "SERVER", "PORT", "CONNECTIONS", "FIRST SEEN", "LAST SEEN"]);
    for learned in &model.edges {
        let Some(edge) = &learned.edge else { continue };
        edges.row(vec![
            Cell::from(peer(edge.client.as_ref())),
            Cell::from(peer(edge.server.as_ref())),
            Cell::from(port(&edge.protocol, edge.port)),
            Cell::number(learned.connections),
            Cell::from(&learned.first_seen),
            Cell::from(&learned.last_seen),
        ]);
    }
    sheet.render() + "\n" + &heading("edges", &edges.render())
}
