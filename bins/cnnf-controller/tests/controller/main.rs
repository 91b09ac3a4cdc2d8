//! The controller as a process of its own, over real mutual TLS, with a scripted defender.

mod audit;
mod backup;
mod channels;
mod cli;
mod confirm;
mod definition;
mod distribution;
mod enrolment;
mod expulsion;
mod herd;
mod hostile;
mod kills;
mod learning;
mod live;
mod oidc;
mod over_time;
mod place;
mod policy;
mod reach;
mod restart;
mod roles;
mod sessions;
mod stream;
mod trust;
mod watch;
mod web;
