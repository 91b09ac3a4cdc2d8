//! The meaning of cnnf: services, flows, models and policies as values and functions.
//!
//! **Invariant**: nothing here does IO, reads a clock, draws a random number or spawns a task; time is an argument
//! and reasons are returned, never logged. `clippy.toml` beside this crate holds that line.
//!
//! Data goes one way: [`observation`] → [`identity`] → [`flow`] → [`topology`] and [`model`] → [`policy`] → [`ruleset`].

pub mod access;
pub mod directory;
pub mod event;
pub mod failsafe;
pub mod flow;
pub mod glob;
pub mod id;
pub mod identity;
pub mod label;
pub mod model;
pub mod net;
pub mod observation;
pub mod policy;
pub mod ruleset;
pub mod time;
pub mod topology;
