//! Tables held against the meaning of the policies that they were compiled from.

mod agreement;
mod demo;
mod shape;
pub(crate) mod world;
