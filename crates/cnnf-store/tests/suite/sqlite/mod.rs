//! What is SQLite's own: old schemas, the file that somebody changed, the log that a power cut has ended.

mod forgery;
mod migration;
mod power;
