//! What a binary opens in the kernel and hands to the two halves, so that it needs no netlink of its own.

pub use cnnf_netlink::conntrack::Place as LabelPlace;
pub use cnnf_netlink::nfqueue::{QueueStats, STATS_PATH, parse_stats};
pub use cnnf_netlink::nft::{ChainDump, Features, Nft, TableDump, TableHead};
pub use cnnf_netlink::sock_diag::SockDiag;
pub use cnnf_netlink::{inherited, wait_readable};
