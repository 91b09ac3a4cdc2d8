//! The main job, end to end: real services on real kernel paths, a controller, defenders, and rules between services.
//!
//! What cnnf says is held against what curl, nginx's log and the kernel say.

mod bad_input;
mod bed;
mod daring;
mod enforcing;
mod failing;
mod learning;
mod naming;
mod trust;
