//! `cnnfctl completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::failure::Failure;
use crate::output::print;

#[derive(Debug, Args)]
pub(super) struct Completion {
    /// For which shell.
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cnnfctl", &mut script);
        print(String::from_utf8_lossy(&script).trim_end())
    }
}
