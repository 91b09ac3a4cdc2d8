//! The defender: observes its host, keeps the host's table and speaks with the controller.

mod ability;
mod agent;
mod config;
#[path = "../../../packaging/confine.rs"]
mod confine;
mod credentials;
mod doctor;
mod enroll;
mod enrolment;
mod evidence;
#[path = "../../failure.rs"]
mod failure;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "../../../packaging/guides.rs"]
mod guides;
mod link;
mod local;
#[path = "../../../packaging/manual.rs"]
mod manual;
mod namespaces;
mod notify;
mod output;
mod prove;
mod received;
mod runtime;
mod sandbox;
pub mod simulation;
mod snapshot;
mod spool;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use failure::Failure;
use output::say;

#[derive(Parser)]
#[command(
    name = "cnnf-defender",
    version,
    about = "Finds this host's services, learns what they do and enforces rules on them"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lets this host in at a controller, with a token from 'cnnfctl defenders token create'
    Enroll(enroll::Args),
    /// Observes and enforces until it is told to stop; its table stays
    Run {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Says how the running defender does
    Status {
        #[command(flatten)]
        config: ConfigArg,
        /// How to write it
        #[arg(short, long, default_value = "text")]
        output: Output,
    },
    /// Says what the kernel offers, what comes before our table, and what is not covered
    Doctor {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Removes our table: nothing is judged until 'run' is started again
    Release {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Checks a configuration file
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Puts the table of the last policy in force and ends: for the time between the start of the host and that of 'run'
    Boot {
        #[command(flatten)]
        config: ConfigArg,
    },
    /// Writes manual pages and completions
    #[command(hide = true)]
    Manual(manual::Args),
}

#[derive(clap::Args)]
struct ConfigArg {
    /// The configuration file; the default one may be missing
    #[arg(long, value_name = "FILE", env = "CNNF_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
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
        Command::Enroll(args) => enroll::run(&args),
        Command::Run { config } => runtime::run(config::load(config.config.as_deref())?),
        Command::Boot { config } => runtime::boot(config::load(config.config.as_deref())?),
        Command::Manual(args) => args.write(Cli::command(), "8").map_err(Failure::refused),
        Command::Status { config, output } => {
            local::status(&config::load(config.config.as_deref())?, matches!(output, Output::Json))
        }
        Command::Doctor { config } => doctor::run(&config::load(config.config.as_deref())?),
        Command::Release { config } => local::release(&config::load(config.config.as_deref())?),
        Command::CheckConfig { file } => {
            config::load(Some(&file))?;
            say!("{} is good", file.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_speak_of_commands_that_there_are() {
        guides::check(&Cli::command(), 8);
    }
}
