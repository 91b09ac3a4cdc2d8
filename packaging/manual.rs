//! The manual pages and shell completions of a program, from its command line; written when packages are made. Part of each program, as its
//! own command `manual`, which is in no help.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

/// What `manual` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write them
    folder: PathBuf,
}

impl Args {
    /// Writes a page for the program and one for each of its commands (`man/NAME.SECTION`), and completions as shells look for them
    /// (`bash/NAME`, `zsh/_NAME`, `fish/NAME.fish`).
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) fn write(&self, program: clap::Command, section: &str) -> io::Result<()> {
        // the command `help` says the same once more
        let mut program = program.disable_help_subcommand(true);
        let name = program.get_name().to_owned();
        for (shell, file) in
            [(Shell::Bash, name.clone()), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
        {
            let folder = self.folder.join(shell.to_string());
            fs::create_dir_all(&folder)?;
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program, &name, &mut script);
            fs::write(folder.join(file), script)?;
        }
        let folder = self.folder.join("man");
        fs::create_dir_all(&folder)?;
        program.build();
        pages(&program, section, &folder)
    }
}

fn pages(command: &clap::Command, section: &str, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, section, folder)?;
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let man = clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .section(section)
        .source(format!("cnnf {}", env!("CARGO_PKG_VERSION")))
        .manual("cnnf");
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(folder.join(format!("{name}.{section}")), page)
}
