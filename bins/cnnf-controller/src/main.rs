//! The controller's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cnnf_controller::main()
}
