//! What a set's keys and values are: lengths for the kernel, type numbers for the `nft` program.
//!
//! The kernel compares bytes. The `nft` program needs to know what they mean, or it prints keys
//! byte-swapped and cannot load what it printed; it finds its own type numbers in the set
//! (nftables `include/datatype.h`), six bits for each part of a concatenation.

use super::abi;

/// In which order `nft` reads the bytes of a value. Numbers of nftables' `enum byteorder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Host = 1,
    Network = 2,
}

/// The type of one part of a key or of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    id: u32,
    len: u32,
    order: Order,
}

const fn data_type(id: u32, len: u32, order: Order) -> DataType {
    DataType { id, len, order }
}

impl DataType {
    /// An IPv4 address, 4 bytes in network order (`ipv4_addr`).
    pub const IPV4: Self = data_type(7, 4, Order::Network);
    /// An IPv6 address, 16 bytes (`ipv6_addr`).
    pub const IPV6: Self = data_type(8, 16, Order::Network);
    /// A transport protocol, 1 byte (`inet_proto`).
    pub const PROTOCOL: Self = data_type(12, 1, Order::Network);
    /// A port, 2 bytes in network order (`inet_service`).
    pub const PORT: Self = data_type(13, 2, Order::Network);
    /// 4 bytes in host order that mean nothing to `nft` (`mark`, printed as hex): the type for
    /// words of a connection label, [`LABEL`](Self::LABEL) for a whole one. Two of them,
    /// concatenated, stand for 8 opaque bytes.
    pub const WORD: Self = data_type(19, 4, Order::Host);
    /// An interface index, 4 bytes in host order (`iface_index`, printed as the name).
    pub const IFINDEX: Self = data_type(20, 4, Order::Host);
    /// A user id, 4 bytes in host order (`uid`).
    pub const UID: Self = data_type(24, 4, Order::Host);
    /// A connection's state bit, 4 bytes in host order (`ct_state`).
    pub const CT_STATE: Self = data_type(26, 4, Order::Host);
    /// A connection's direction, 1 byte (`ct_dir`).
    pub const CT_DIRECTION: Self = data_type(27, 1, Order::Host);
    /// An interface name, 16 bytes padded with NUL (`ifname`).
    pub const IFNAME: Self = data_type(41, 16, Order::Host);
    /// A cgroup's id, 8 bytes in host order (`cgroupsv2`). `nft` prints the path below
    /// `/sys/fs/cgroup`, and loads it only where that path exists: see [`DataType::WORD`].
    pub const CGROUP: Self = data_type(46, 8, Order::Host);

    /// A connection label as its four words. (`nft` has a type for labels, but does not know its
    /// name when it reads a listing, and shows no set at all where it meets that type.)
    pub const LABEL: [Self; 4] = [Self::WORD; 4];

    /// Length of the value in bytes.
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Never: every type has a length.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Bytes it takes in a concatenation, where each part fills whole registers.
    pub const fn padded(self) -> u32 {
        self.len.next_multiple_of(4)
    }
}

/// A key, or a map's value: one type or a concatenation of at most five.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(pub Vec<DataType>);

impl Layout {
    /// Length in bytes, with each part of a concatenation padded to 4.
    pub fn len(&self) -> u32 {
        match self.0.as_slice() {
            [one] => one.len,
            parts => parts.iter().map(|p| p.padded()).sum(),
        }
    }

    /// A layout of no parts, which no set can have.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn type_id(&self) -> u32 {
        self.0.iter().fold(0, |id, part| id << 6 | part.id)
    }

    /// For `nft`'s user data; a concatenation has the orders of its parts.
    pub(super) fn order(&self) -> u32 {
        match self.0.as_slice() {
            [one] => one.order as u32,
            _ => Order::Network as u32,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        (1..=5).contains(&self.0.len()) && self.len() as usize <= abi::VALUE_MAX
    }
}

impl<const N: usize> From<[DataType; N]> for Layout {
    fn from(parts: [DataType; N]) -> Self {
        Self(parts.to_vec())
    }
}

impl From<DataType> for Layout {
    fn from(part: DataType) -> Self {
        Self(vec![part])
    }
}

/// What a set's elements carry besides their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maps {
    /// Nothing: a set.
    Nothing,
    /// A value: a map.
    To(Layout),
    /// A verdict: a verdict map.
    ToVerdict,
}

/// Definition of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetSpec {
    /// Its name, unique in the table.
    pub name: String,
    /// The key.
    pub key: Layout,
    /// What a key maps to.
    pub maps: Maps,
    /// Elements are ranges ([`Element::range`](super::Element::range)).
    pub interval: bool,
    /// Elements may have a timeout.
    pub timeout: bool,
    /// No element can be added once a rule uses the set.
    pub constant: bool,
}

impl SetSpec {
    /// A set of keys.
    pub fn set(name: impl Into<String>, key: impl Into<Layout>) -> Self {
        let (name, key) = (name.into(), key.into());
        Self { name, key, maps: Maps::Nothing, interval: false, timeout: false, constant: false }
    }

    /// A map from keys to values.
    pub fn map(name: impl Into<String>, key: impl Into<Layout>, value: impl Into<Layout>) -> Self {
        Self { maps: Maps::To(value.into()), ..Self::set(name, key) }
    }

    /// A map from keys to verdicts.
    pub fn vmap(name: impl Into<String>, key: impl Into<Layout>) -> Self {
        Self { maps: Maps::ToVerdict, ..Self::set(name, key) }
    }

    /// The same, of ranges.
    pub fn with_intervals(self) -> Self {
        Self { interval: true, ..self }
    }

    /// The same, whose elements may have timeouts.
    pub fn with_timeouts(self) -> Self {
        Self { timeout: true, ..self }
    }

    pub(super) fn flags(&self) -> u32 {
        let flag = |on: bool, bit: i32| if on { bit as u32 } else { 0 };
        flag(self.maps != Maps::Nothing, libc::NFT_SET_MAP)
            | flag(self.interval, libc::NFT_SET_INTERVAL)
            | flag(self.timeout, libc::NFT_SET_TIMEOUT)
            | flag(self.constant, libc::NFT_SET_CONSTANT)
    }
}
