//! `cnnfctl status`.

use cnnf_rpc::v1;

use super::Asker;
use super::rules::waiting;
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone};

pub(super) async fn run(asker: &Asker) -> Result<(), Failure> {
    let session = asker.connect().await?;
    let status = session.answer(session.status().get_status(request(v1::GetStatusRequest {}))).await?;
    asker.out.show(&status, || people(&status, &session.server, &asker.out))
}

fn people(status: &v1::Status, server: &str, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("controller", format!("{server}, version {}, since {}", status.version, status.started));
    let missing = status.defenders.saturating_sub(status.connected);
    let defenders = match missing {
        0 => Cell::from(format!("{}, all connected", status.defenders)),
        _ => Cell::from(format!("{}, {missing} not connected", status.defenders)).tone(Tone::Warn),
    };
    sheet.field("defenders", defenders);
    if status.outdated > 0 {
        let text = format!("{}: see 'cnnfctl defenders list --outdated'", status.outdated);
        sheet.field("outdated", Cell::from(text).tone(Tone::Warn));
    }
    sheet.field("services", status.services.to_string());
    sheet.field("edges", status.edges.to_string());
    sheet.field("rules", format!("{}, revision {}", status.rules, status.revision));
    if let Some(change) = &status.unconfirmed {
        sheet.field("unconfirmed", Cell::from(waiting(change)).tone(Tone::Warn));
    }
    let models: Vec<_> = status.models.iter().map(|(phase, number)| format!("{number} {phase}")).collect();
    sheet.field("models", if models.is_empty() { "0".to_owned() } else { models.join(", ") });
    let events = Cell::from(status.open_events.to_string());
    for conflict in &status.conflicts {
        let text = format!("{} is claimed by {}", conflict.address, conflict.hosts.join(" and "));
        sheet.field("conflict", Cell::from(text).tone(Tone::Warn));
    }
    sheet.field("open events", if status.open_events == 0 { events } else { events.tone(Tone::Warn) });
    sheet.render()
}
