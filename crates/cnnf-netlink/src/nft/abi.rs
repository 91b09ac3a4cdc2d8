//! Numbers of `linux/netfilter/nf_tables.h` that libc does not name.

pub(super) const NFTA_TABLE_NAME: i32 = 1;
pub(super) const NFTA_TABLE_FLAGS: i32 = 2;
pub(super) const NFTA_TABLE_HANDLE: i32 = 4;
pub(super) const NFTA_TABLE_OWNER: i32 = 7;
pub(super) const NFT_TABLE_F_OWNER: u32 = 2;
pub(super) const NFT_TABLE_F_PERSIST: u32 = 4;

pub(super) const NFTA_CHAIN_TABLE: i32 = 1;
pub(super) const NFTA_CHAIN_NAME: i32 = 3;
pub(super) const NFTA_CHAIN_HOOK: i32 = 4;
pub(super) const NFTA_HOOK_HOOKNUM: i32 = 1;
pub(super) const NFTA_HOOK_PRIORITY: i32 = 2;

pub(super) const NFTA_RULE_TABLE: i32 = 1;
pub(super) const NFTA_RULE_CHAIN: i32 = 2;
pub(super) const NFTA_RULE_HANDLE: i32 = 3;
pub(super) const NFTA_RULE_EXPRESSIONS: i32 = 4;
pub(super) const NFTA_RULE_USERDATA: i32 = 7;
pub(super) const NFTA_EXPR_NAME: i32 = 1;
pub(super) const NFTA_EXPR_DATA: i32 = 2;
pub(super) const NFTA_COUNTER_BYTES: i32 = 1;
pub(super) const NFTA_COUNTER_PACKETS: i32 = 2;

pub(super) const NFTA_SET_TABLE: i32 = 1;
pub(super) const NFTA_SET_NAME: i32 = 2;
pub(super) const NFTA_SET_FLAGS: i32 = 3;
pub(super) const NFTA_SET_KEY_LEN: i32 = 5;
pub(super) const NFTA_SET_DATA_TYPE: i32 = 6;
pub(super) const NFTA_SET_DATA_LEN: i32 = 7;

pub(super) const NFTA_SET_ELEM_LIST_TABLE: i32 = 1;
pub(super) const NFTA_SET_ELEM_LIST_SET: i32 = 2;
pub(super) const NFTA_SET_ELEM_LIST_ELEMENTS: i32 = 3;
pub(super) const NFTA_LIST_ELEM: i32 = 1;
pub(super) const NFTA_SET_ELEM_KEY: i32 = 1;
pub(super) const NFTA_SET_ELEM_DATA: i32 = 2;
pub(super) const NFTA_SET_ELEM_FLAGS: i32 = 3;
pub(super) const NFTA_SET_ELEM_TIMEOUT: i32 = 4;
pub(super) const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
pub(super) const NFTA_DATA_VALUE: i32 = 1;
pub(super) const NFTA_DATA_VERDICT: i32 = 2;
pub(super) const NFTA_VERDICT_CODE: i32 = 1;
pub(super) const NFTA_VERDICT_CHAIN: i32 = 2;
/// `NFT_DATA_VERDICT`: the data type of verdict maps.
pub(super) const DATA_VERDICT: u32 = 0xffff_ff00;

pub(super) const NFTA_OBJ_TABLE: i32 = 1;
pub(super) const NFTA_OBJ_NAME: i32 = 2;
pub(super) const NFTA_OBJ_TYPE: i32 = 3;
pub(super) const NFTA_OBJ_DATA: i32 = 4;
pub(super) const NFTA_OBJ_HANDLE: i32 = 6;
/// `NFT_OBJECT_COUNTER`.
pub(super) const NFT_OBJECT_COUNTER: u32 = 1;

pub(super) const NFTA_GEN_ID: i32 = 1;
pub(super) const NFTA_GEN_PROC_PID: i32 = 2;
pub(super) const NFTA_GEN_PROC_NAME: i32 = 3;

pub(super) const NFT_SOCKET_MARK: u32 = 1;
pub(super) const NFT_SOCKET_WILDCARD: u32 = 2;
pub(super) const NFT_SOCKET_CGROUPV2: u32 = 3;

/// Longest name of an object, `NFT_NAME_MAXLEN` without its NUL.
pub(super) const NAME_MAX: usize = 255;
/// All registers together, `NFT_DATA_VALUE_MAXLEN`.
pub(super) const VALUE_MAX: usize = 64;
/// `NFT_RULE_MAXEXPRS`.
pub(super) const EXPRESSIONS_MAX: usize = 128;
/// `NF_LOG_PREFIXLEN` without its NUL.
pub(super) const LOG_PREFIX_MAX: usize = 127;

/// A message type of the nf_tables subsystem.
pub(super) const fn message_type(message: i32) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES << 8 | message) as u16
}
