//! The sentences of the semantics as examples, and the laws of their words.

mod deltas;
mod distribution;
mod examples;
mod indexed;
mod laws;
mod lints;
mod reach;
mod renaming;
mod simulations;
mod suggestions;
