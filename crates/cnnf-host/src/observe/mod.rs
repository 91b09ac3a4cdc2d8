//! From what a host shows to the core's observations.
//!
//! Text of `/proc` is read by pure functions; what asks the kernel is a type of its own for each subject.

pub mod activation;
pub mod addresses;
pub mod cgroups;
pub mod connections;
pub mod containers;
mod digest;
pub mod evidence;
mod group_path;
pub mod listeners;
pub mod namespaces;
pub mod owner;
pub mod process;
