//! The program as people run it, against a controller over real mutual TLS.

mod alerts;
mod answers;
mod bed;
mod connection;
mod definitions;
mod golden;
mod rules;
mod terminal;
mod top;
