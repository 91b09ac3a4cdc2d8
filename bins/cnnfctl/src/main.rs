//! The command line of cnnf.
//!
//! A command asks the controller and prints its answer; what anything means is decided there. Exit codes: 0 done, 1 the answer is no or
//! not found, 2 wrong usage, 3 cannot reach or not allowed. Errors read `error: what, where, what to do` and nothing is half-done.

mod cmd;
mod context;
mod failure;
#[cfg(test)]
#[path = "../../../packaging/guides.rs"]
mod guides;
#[path = "../../../packaging/manual.rs"]
mod manual;
mod output;
mod policy_file;
mod repeat;
mod since;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = cmd::Cli::parse();
    match cmd::run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                eprintln!("error: {text}");
            }
            ExitCode::from(failure.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_guides_speak_of_commands_that_there_are() {
        super::guides::check(&super::cmd::Cli::command(), 60);
    }
}
