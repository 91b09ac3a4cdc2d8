//! The controller: holds what was learned and what was decided, and tells each host what to enforce.

mod alerts;
mod auth;
mod backup;
mod changes;
mod clock;
mod config;
#[path = "../../../packaging/confine.rs"]
mod confine;
mod controller;
mod credential;
mod distribute;
mod downloads;
mod edit;
#[path = "../../failure.rs"]
mod failure;
#[cfg(test)]
mod fuzz;
mod grpc;
#[cfg(test)]
#[path = "../../../packaging/guides.rs"]
mod guides;
mod health;
mod ingest;
mod init;
mod log;
#[path = "../../../packaging/manual.rs"]
mod manual;
mod oidc;
mod outgoing;
mod owner;
mod people;
mod pki;
mod run;
mod sandbox;
mod settings;
pub mod simulation;
mod state;
mod tasks;
mod telemetry;
mod web;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

#[derive(Parser)]
#[command(
    name = "cnnf-controller",
    version,
    about = "Holds what was learned of all hosts and the rules, and tells each host what to enforce"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a CA, a server certificate, a database and an administrator's credential
    Init(init::Args),
    /// Serves until it is told to stop
    Run(Box<config::Args>),
    /// Goes from one CA to the next, without a host losing its connection
    RotateCa(pki::rotation::Args),
    /// Copies everything to one new file, also while the controller runs
    Backup(backup::Args),
    /// Makes an empty data directory what a backup says
    Restore(backup::Args),
    /// Checks a configuration file
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Writes manual pages and completions
    #[command(hide = true)]
    Manual(manual::Args),
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code.into()
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::RotateCa(args) => pki::rotation::run(&args),
        Command::Manual(args) => args.write(Cli::command(), "8").map_err(Failure::refused),
        Command::CheckConfig { file } => {
            config::check(&file)?;
            println!("{} is good", file.display());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_speak_of_commands_that_there_are() {
        guides::check(&Cli::command(), 10);
    }
}
