//! A packet as the kernel queues it.

use crate::attr::Attr;
use crate::conntrack::{Flow, Kind};
use crate::message::{Message, NFGEN};

/// A queued packet. What the kernel does not say is `None` or 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its name in the queue, for the verdict.
    pub id: u32,
    /// The queue.
    pub queue: u16,
    /// Protocol family: 2 IPv4, 10 IPv6.
    pub family: u8,
    /// EtherType.
    pub hw_proto: u16,
    /// Hook number: 1 input, 2 forward, 3 output.
    pub hook: u8,
    /// From its IP header on, cut off at the snap length.
    pub payload: &'a [u8],
    /// Its whole length.
    pub len: usize,
    /// Its mark.
    pub mark: u32,
    /// Index of the input interface; 0 without one.
    pub in_ifindex: u32,
    /// Index of the output interface; 0 without one.
    pub out_ifindex: u32,
    /// User of the sending socket.
    pub uid: Option<u32>,
    /// Group of the sending socket.
    pub gid: Option<u32>,
    /// Its flow, where asked for and known; not yet in the conntrack table if the packet is its first.
    pub flow: Option<Flow>,
    /// Its place in the flow (`enum ip_conntrack_info`): 0 established, 1 related, 2 new; 3 more
    /// in the reply direction.
    pub ct_info: Option<u32>,
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(m: Message<'a>) -> Option<Self> {
        let attrs = m.attrs(NFGEN);
        let number = |ty| attrs.find(ty).and_then(|a: Attr<'_>| a.be32());
        // struct nfqnl_msg_packet_hdr: id, hw_protocol, hook.
        let [i0, i1, i2, i3, p0, p1, hook] = attrs.find(libc::NFQA_PACKET_HDR)?.array::<7>()?;
        let payload = attrs.find(libc::NFQA_PAYLOAD).map(|a| a.bytes).unwrap_or_default();
        Some(Self {
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            queue: m.res_id(),
            family: m.family(),
            hw_proto: u16::from_be_bytes([p0, p1]),
            hook,
            payload,
            len: number(libc::NFQA_CAP_LEN).map_or(payload.len(), |len| len as usize),
            mark: number(libc::NFQA_MARK).unwrap_or(0),
            in_ifindex: number(libc::NFQA_IFINDEX_INDEV).unwrap_or(0),
            out_ifindex: number(libc::NFQA_IFINDEX_OUTDEV).unwrap_or(0),
            uid: number(libc::NFQA_UID),
            gid: number(libc::NFQA_GID),
            flow: attrs.find(libc::NFQA_CT).and_then(|a| Flow::parse(Kind::Update, a.nested())),
            ct_info: number(libc::NFQA_CT_INFO),
        })
    }
}
