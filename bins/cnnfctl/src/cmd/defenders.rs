//! `cnnfctl defenders`.

use std::time::Duration;

use clap::Subcommand;
use cnnf_core::label::Labels;
use cnnf_rpc::v1;
use tonic::Status;

use super::{Asker, Mode, heading, labels, page};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, confirm, count, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Defenders {
    /// All defended hosts.
    List {
        /// Only those whose defender is older than the controller.
        #[arg(long)]
        outdated: bool,
    },
    /// One host.
    Show {
        /// Its name or id.
        host: String,
    },
    /// Set whether prevent is carried out on a host.
    Mode {
        /// Its name or id.
        host: String,
        /// Its mode.
        mode: Mode,
    },
    /// Shut a host out: its connection ends at once and its certificate is refused. Only a new token lets it in again.
    Revoke {
        /// Its name or id.
        host: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Forget a host that is revoked or not connected. What was learned of its services stays.
    Delete {
        /// Its name or id.
        host: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Tokens that let new hosts in.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token and print it; it is shown only once.
    Create {
        /// How long it can be used.
        #[arg(long, default_value = "10m", value_parser = lifetime, value_name = "TIME")]
        ttl: u32,
        /// How often it can be used.
        #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// A label that its hosts get and cannot change; may be given several times.
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
}

fn lifetime(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).map_err(|_| format!("'{text}' is no time: write 10m or 2h"))?;
    u32::try_from(time.as_secs())
        .ok()
        .filter(|_| time >= Duration::from_secs(1))
        .ok_or_else(|| "write a time of at least 1s".to_owned())
}

impl Defenders {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let session = asker.connect().await?;
        let out = &asker.out;
        match self {
            Self::List { outdated } => {
                let mut all = all(&session).await.map_err(|s| session.refused(&s))?;
                all.defenders.retain(|defender| defender.outdated || !outdated);
                out.show(&all, || list(&all.defenders, out))?;
                let old = all.defenders.iter().filter(|defender| defender.outdated && !defender.revoked).count();
                if old > 0 && !out.for_programs() && !all.upgrade_command.is_empty() {
                    out.note(&format!("to upgrade the {old} outdated, on each as root:"));
                    out.note(&printable(&all.upgrade_command));
                }
                Ok(())
            }
            Self::Show { host } => {
                let defender = one(&session, &host).await?;
                out.show(&defender, || show(&defender, out))
            }
            Self::Revoke { host, yes } => {
                // By its id, so that of two hosts of one name the wrong one is never shut out.
                let defender = one(&session, &host).await?;
                confirm(&format!("revoke host '{}'", printable(&defender.host)), yes)?;
                let ask = v1::RevokeDefenderRequest { host: defender.id };
                let defender = session.answer(session.fleet().revoke_defender(request(ask))).await?;
                out.done(&defender, || format!("{} is revoked", printable(&defender.host)))
            }
            Self::Delete { host, yes } => {
                let defender = one(&session, &host).await?;
                confirm(&format!("delete host '{}'", printable(&defender.host)), yes)?;
                let ask = v1::DeleteDefenderRequest { host: defender.id };
                let gone = session.answer(session.fleet().delete_defender(request(ask))).await?;
                out.done(&gone, || format!("host '{}' is deleted", printable(&gone.host)))
            }
            Self::Mode { host, mode } => {
                let ask = v1::SetDefenderModeRequest { host, mode: mode.word() };
                let defender = session.answer(session.fleet().set_defender_mode(request(ask))).await?;
                out.done(&defender, || {
                    format!("{} is in {} mode", printable(&defender.host), printable(&defender.mode))
                })
            }
            Self::Token(Token::Create { ttl, uses, labels }) => {
                let labels: Labels = labels.join(",").parse().map_err(Failure::Usage)?;
                let ask = v1::CreateTokenRequest { ttl_seconds: ttl, uses, labels: labels.0.into_iter().collect() };
                let token = session.answer(session.fleet().create_token(request(ask))).await?;
                out.show(&token, || printable(&token.token).into_owned())?;
                if !out.for_programs() {
                    let (uses, expires) = (count(token.uses as usize, "host"), printable(&token.expires));
                    out.note(&format!("for {uses}, until {expires}; on the host, once the defender is installed:"));
                    out.note(&format!("cnnf-defender enroll --controller {} --token TOKEN", session.server));
                    if !token.install_command.is_empty() {
                        out.note("or, to install it too, as root:");
                        out.note(&printable(&token.install_command));
                    }
                }
                Ok(())
            }
        }
    }
}

/// The host of this name or id.
async fn one(session: &Session, host: &str) -> Result<v1::Defender, Failure> {
    let mut found = all(session).await.map_err(|s| session.refused(&s))?.defenders;
    found.retain(|defender| defender.id == host || defender.host == host);
    match found.as_slice() {
        [_] => Ok(found.remove(0)),
        [] => Err(Failure::No(format!("there is no defended host '{host}': see 'cnnfctl defenders list'"))),
        several => {
            let ids = several.iter().map(|d| d.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!("several hosts are named '{host}': write one of their ids: {ids}")))
        }
    }
}

/// All hosts.
pub(super) async fn all(session: &Session) -> Result<v1::ListDefendersResponse, Status> {
    let mut all = v1::ListDefendersResponse::default();
    loop {
        let ask = v1::ListDefendersRequest { page: page(&all.next_token) };
        let next = session.ask(session.fleet().list_defenders(request(ask))).await?;
        all.defenders.extend(next.defenders);
        all.next_token = next.next_token;
        all.upgrade_command = next.upgrade_command;
        if all.next_token.is_empty() {
            return Ok(all);
        }
    }
}

pub(super) fn connected(defender: &v1::Defender) -> Cell {
    if defender.revoked {
        return Cell::from("revoked").tone(Tone::Bad);
    }
    if defender.connected { Cell::from("yes").tone(Tone::Good) } else { Cell::from("no").tone(Tone::Bad) }
}

pub(super) fn version(defender: &v1::Defender) -> Cell {
    if defender.outdated {
        return Cell::from(format!("{} outdated", defender.version)).tone(Tone::Warn);
    }
    Cell::from(&defender.version)
}

pub(super) fn policy(defender: &v1::Defender) -> Cell {
    let (desired, applied) = (defender.desired_generation, defender.applied_generation);
    match defender.outcome.as_str() {
        // its kernel refused it, and what was in force before holds
        "failed" => Cell::from(format!("degraded {desired}")).tone(Tone::Bad),
        "refused" | "reverted" => Cell::from(format!("{} {desired}", defender.outcome)).tone(Tone::Bad),
        _ if desired == applied => Cell::from(format!("applied {applied}")),
        _ => Cell::from(format!("{applied} of {desired}")).tone(Tone::Warn),
    }
}

fn list(defenders: &[v1::Defender], out: &Output) -> String {
    let versions = out.wide() || defenders.iter().any(|defender| defender.outdated);
    let mut header = vec!["HOST", "CONNECTED", "MODE", "POLICY", "QUEUE", "LAST SEEN", "ADDRESSES"];
    if versions {
        header.push("VERSION");
    }
    if out.wide() {
        header.extend(["LABELS", "ID"]);
    }
    let mut sheet = Sheet::new(out, &header);
    for defender in defenders {
        let mut row = vec![
            Cell::from(&defender.host),
            connected(defender),
            Cell::word(&defender.mode),
            policy(defender),
            Cell::from(&defender.queue),
            Cell::from(&defender.last_seen),
            Cell::from(defender.addresses.join(", ")),
        ];
        if versions {
            row.push(version(defender));
        }
        if out.wide() {
            row.extend([labels(&defender.labels), defender.id.clone()].map(Cell::from));
        }
        sheet.row(row);
    }
    sheet.render()
}

pub(super) fn show(defender: &v1::Defender, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("host", &defender.host);
    sheet.field("id", &defender.id);
    sheet.field("connected", connected(defender));
    sheet.field("last seen", &defender.last_seen);
    sheet.field("mode", Cell::word(&defender.mode));
    sheet.field("policy", policy(defender));
    sheet.field("message", Cell::from(&defender.message).tone(Tone::Bad));
    sheet.field("queue", &defender.queue);
    sheet.field("addresses", defender.addresses.join(", "));
    sheet.field("labels", labels(&defender.labels));
    sheet.field("version", version(defender));
    sheet.field("certificate", Cell::from(until(&defender.certificate_expires)));
    sheet.field("clock", Cell::from(clock(defender.clock_behind_ms)).tone(Tone::Warn));
    let mut text = sheet.render();
    if !defender.not_covered.is_empty() {
        let lines: Vec<_> = defender.not_covered.iter().map(|line| printable(line)).collect();
        text += &("\n".to_owned() + &heading("not covered", &lines.join("\n")));
    }
    if defender.counters.is_empty() {
        return text;
    }
    let mut counters = Sheet::of_fields(out);
    for (name, value) in &defender.counters {
        counters.row(vec![Cell::from(name), Cell::number(value)]);
    }
    text + "\n" + &heading("counters", &counters.render())
}

fn until(expires: &str) -> String {
    if expires.is_empty() { String::new() } else { format!("until {expires}") }
}

/// Nothing if the host's clock is right.
fn clock(behind_ms: i64) -> String {
    let off = humantime::format_duration(Duration::from_secs(behind_ms.unsigned_abs() / 1000));
    match behind_ms {
        0 => String::new(),
        1.. => format!("{off} behind: its times are corrected"),
        _ => format!("{off} ahead: its times are corrected"),
    }
}
