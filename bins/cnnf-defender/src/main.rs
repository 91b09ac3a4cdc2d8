//! The defender's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnnf_defender::main()
}
