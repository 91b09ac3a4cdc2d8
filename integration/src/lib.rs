//! Small worlds on one machine: hosts made of namespaces, with services in cgroups as systemd would place them, or
//! booted with systemd itself; a controller and defenders. For the demo, for the tests, and for trying a policy out.
//!
//! The program `cnnf-lab` is a thin shell around this crate; integration tests use [`World`].

mod bed;
mod booted;
mod cgroup;
mod cli;
mod control;
mod down;
mod enter;
mod error;
mod host;
mod init;
mod launch;
mod layout;
mod net;
mod plan;
mod programs;
mod replay;
mod up;
mod wait;
mod world;
pub mod worldfile;

pub use bed::Bed;
pub use cli::run;
pub use enter::Placement;
pub use error::{Error, Result};
pub use init::protocol::UnitReport;
pub use world::{Output, Unit, World};
