//! `cnnfctl explain`.

use clap::Args;
use cnnf_core::net::{Ports, Protocol};
use cnnf_rpc::v1;

use super::{Asker, heading};
use crate::context::request;
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The client: a service's key or short name, or an address.
    from: String,
    /// The server: likewise.
    to: String,
    /// The protocol and the server's port, such as tcp/443, udp/53, icmp (a ping) or icmp/timestamp-request.
    #[arg(value_parser = one_port, value_name = "PROTO/PORT")]
    port: String,
    /// The client's host, where its service runs on several.
    #[arg(long, value_name = "HOST", default_value = "", hide_default_value = true)]
    host: String,
}

fn one_port(text: &str) -> Result<String, String> {
    match Ports::parse(&[text]).map_err(|error| error.to_string())? {
        Ports::Only(ranges) => match ranges.as_slice() {
            [range] if range.low == range.high || !range.protocol.has_ports() => Ok(text.to_owned()),
            // a name that both families have
            ranges if !text.contains(',') && ranges.iter().all(|range| range.protocol == Protocol::Icmp) => {
                Ok(text.to_owned())
            }
            _ => Err("one connection has one port: write for example tcp/443".into()),
        },
        Ports::Any => Err("one connection has one port: write for example tcp/443".into()),
    }
}

impl Explain {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let ask = v1::ExplainRequest { from: self.from, to: self.to, port: self.port, host: self.host };
        let answer = session.answer(session.policy().explain(request(ask))).await?;
        asker.out.show(&answer, || people(&answer, &asker.out))
    }
}

fn people(answer: &v1::ExplainResponse, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("effect", Cell::word(&answer.effect));
    let why = match (answer.rule.as_str(), answer.model.as_str()) {
        ("", "") => "no rule and no model speaks of it".to_owned(),
        ("", model) => format!("the model of {model}"),
        (rule, _) => format!("rule '{rule}'"),
    };
    sheet.field("because of", why);
    if !answer.side.is_empty() {
        sheet.field("decided by", format!("the {}'s host {}", answer.side, answer.host));
    }
    let mode = match (answer.mode.as_str(), answer.effect.as_str()) {
        ("observe", "prevent") => Cell::from("observe: it passes, and is reported as would-prevent").tone(Tone::Warn),
        (mode, _) => Cell::word(mode),
    };
    sheet.field("mode there", mode);
    if answer.steps.is_empty() {
        return sheet.render();
    }
    let mut steps = Sheet::new(out, &["", "CONSIDERED", "MATCHED"]);
    for (n, step) in answer.steps.iter().enumerate() {
        let matched =
            if step.matched { Cell::from("yes").tone(Tone::Good) } else { Cell::from("no").tone(Tone::Faint) };
        steps.row(vec![Cell::number(n + 1), Cell::from(&step.what), matched]);
    }
    sheet.render() + "\n" + &heading("in this order", &steps.render())
}
