//! The crate against the real kernel, in network namespaces that each test makes. Needs root, and
//! the programs ip, nft and conntrack.

mod bed;
mod flows;
mod nft;
mod queue;
mod sockets;
