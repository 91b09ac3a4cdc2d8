//! What can be asked: one file a noun.

mod alerts;
mod audit;
mod completion;
mod defenders;
mod edges;
mod events;
mod explain;
mod models;
mod objects;
mod radar;
mod rules;
mod services;
mod settings;
mod status;
mod tokens;
mod top;
mod users;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use cnnf_rpc::v1;

use crate::context::{Session, Sources};
use crate::failure::Failure;
use crate::output::{Format, Output, printable};

/// See the services of your hosts and who talks to whom, and rule it.
#[derive(Debug, Parser)]
#[command(name = "cnnfctl", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The context of ~/.config/cnnf/contexts.toml to use instead of its current one.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "admin")]
    context: Option<String>,
    /// The credential to use: admin.toml as 'cnnf-controller init' writes it. Without this and --context, the current context of
    /// ~/.config/cnnf/contexts.toml counts, and else the file that $CNNF_ADMIN names.
    #[arg(long, global = true, value_name = "FILE")]
    admin: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    /// No colours, also on a terminal.
    #[arg(long, global = true)]
    no_color: bool,
    /// Only what was asked for: no notes, no confirmation of what was done.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How the whole is.
    Status,
    /// The picture: services and who talks to whom.
    Radar(radar::Radar),
    /// What runs where.
    #[command(subcommand)]
    Services(services::Services),
    /// Who talks to whom.
    #[command(subcommand)]
    Edges(edges::Edges),
    /// What is allowed, alerted and prevented.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// Named addresses, CIDRs and ranges for rules.
    #[command(subcommand)]
    Objects(objects::Objects),
    /// Learned behaviour.
    #[command(subcommand)]
    Models(models::Models),
    /// What happened.
    #[command(subcommand)]
    Events(events::Events),
    /// Hosts, and tokens to let them in.
    #[command(subcommand)]
    Defenders(defenders::Defenders),
    /// How a connection would be judged, and why.
    Explain(explain::Explain),
    /// Settings of the controller.
    #[command(subcommand)]
    Settings(settings::Settings),
    /// People who sign in to the web page.
    #[command(subcommand)]
    Users(users::Users),
    /// API tokens for programs.
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Where operators are told of events: webhooks, chat, syslog, CEF, e-mail.
    #[command(subcommand, visible_alias = "channels")]
    Alerts(Box<alerts::Alerts>),
    /// The record of every change.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Services, edges, events and hosts, live in the terminal.
    Top(top::Top),
    /// A completion script for a shell.
    Completion(completion::Completion),
    /// Writes manual pages and completions.
    #[command(hide = true)]
    Manual(crate::manual::Args),
}

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let Global { context, admin, output, no_color, quiet } = cli.global;
    let out = Output::new(output, no_color, quiet);
    if out.dot() && !matches!(cli.command, Command::Radar(_)) {
        return Err(Failure::Usage("-o dot draws a picture, and only 'cnnfctl radar' has one".into()));
    }
    let sources = Sources {
        admin,
        name: context,
        environment: std::env::var_os("CNNF_ADMIN").filter(|file| !file.is_empty()).map(PathBuf::from),
        contexts: Sources::contexts_file(),
    };
    let asker = Asker { sources, out };
    match cli.command {
        Command::Status => status::run(&asker).await,
        Command::Radar(command) => command.run(&asker).await,
        Command::Services(command) => command.run(&asker).await,
        Command::Edges(command) => command.run(&asker).await,
        Command::Rules(command) => command.run(&asker).await,
        Command::Objects(command) => command.run(&asker).await,
        Command::Models(command) => command.run(&asker).await,
        Command::Events(command) => command.run(&asker).await,
        Command::Defenders(command) => command.run(&asker).await,
        Command::Explain(command) => command.run(&asker).await,
        Command::Settings(command) => command.run(&asker).await,
        Command::Users(command) => command.run(&asker).await,
        Command::Tokens(command) => command.run(&asker).await,
        Command::Alerts(command) => command.run(&asker).await,
        Command::Audit(command) => command.run(&asker).await,
        Command::Top(command) => command.run(&asker).await,
        Command::Completion(command) => command.run(),
        Command::Manual(args) => args
            .write(Cli::command(), "1")
            .map_err(|error| Failure::Unreachable(format!("cannot write the manual: {error}"))),
    }
}

/// What every command needs: whom to ask and where to print. A command checks what it was given before it connects.
struct Asker {
    sources: Sources,
    out: Output,
}

impl Asker {
    async fn connect(&self) -> Result<Session, Failure> {
        Session::open(&self.sources.find()?).await
    }
}

/// A mode, as a word that clap checks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// Prevent is judged and reported as "would prevent"; nothing is dropped.
    Observe,
    /// Prevent is carried out.
    Enforce,
}

impl Mode {
    fn word(self) -> String {
        match self {
            Self::Observe => cnnf_core::policy::Mode::Observe.to_string(),
            Self::Enforce => cnnf_core::policy::Mode::Enforce.to_string(),
        }
    }
}

/// A request for the page after `token`.
fn page(token: &str) -> Option<v1::PageRequest> {
    Some(v1::PageRequest { size: 0, token: token.to_owned() })
}

/// An end for people: the service, the object or the address.
fn peer(peer: Option<&v1::Peer>) -> String {
    let Some(peer) = peer else { return String::new() };
    let set = [&peer.service, &peer.object, &peer.address].into_iter().find(|text| !text.is_empty());
    set.cloned().unwrap_or_default()
}

/// `tcp/80`, `tcp/dynamic` for ephemeral ports, or the protocol alone where it has no ports.
fn port(protocol: &str, port: u32) -> String {
    match (protocol, port) {
        ("tcp" | "udp" | "sctp", 0) => format!("{protocol}/dynamic"),
        ("tcp" | "udp" | "sctp", port) => format!("{protocol}/{port}"),
        _ => protocol.to_owned(),
    }
}

/// `env=prod, site=fra`.
fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

/// A heading over a part of the output.
fn heading(title: &str, body: &str) -> String {
    format!("\n{}\n{body}", printable(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}

/// A role, as a word that clap checks.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    /// Reads.
    Auditor,
    /// Changes everything but users, API tokens, alert channels and settings.
    Operator,
    /// Does everything.
    Admin,
}

impl Role {
    fn word(self) -> String {
        match self {
            Self::Auditor => cnnf_core::access::Role::Auditor,
            Self::Operator => cnnf_core::access::Role::Operator,
            Self::Admin => cnnf_core::access::Role::Admin,
        }
        .to_string()
    }
}
