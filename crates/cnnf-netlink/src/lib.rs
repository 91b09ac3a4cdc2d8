//! The Linux kernel's netlink ABI for the firewall.
//!
//! Six subjects, one module each: [`nft`] (tables, chains, rules, sets, in one atomic batch),
//! [`conntrack`] (events, dumps, labels), [`nfqueue`] (packets that wait for a verdict),
//! [`nflog`] (copies of packets), [`sock_diag`] (whose socket is it) and [`packet`] (the head of
//! an IP packet). The crate names attribute numbers and nothing of a policy.
//!
//! Everything is synchronous. Every socket is opened non-blocking in the network namespace of
//! the calling thread, stays in it, and is [`AsFd`](std::os::fd::AsFd), so that an event loop
//! can drive it; [`wait_readable`] serves callers without one.
//!
//! **Invariant:** no decoder panics, whatever bytes it gets; unknown attributes are skipped.
//! **Invariant:** this is the only crate of the project with `unsafe`; it is confined to
//! `nft::ffi` (libnftnl), `socket` (socket options) and each block says why it is sound.

mod attr;
mod error;
#[cfg(test)]
mod fuzz;
mod message;
mod socket;

pub mod conntrack;
pub mod nflog;
pub mod nfqueue;
pub mod nft;
pub mod packet;
pub mod sock_diag;

pub use error::Error;
pub use socket::{inherited, wait_readable};
