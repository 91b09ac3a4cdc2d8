//! Making an entry by hand, for a connection that lives.

use super::flow::{
    CTA_MARK, CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY,
    CTA_PROTOINFO_TCP_STATE, CTA_STATUS, CTA_TIMEOUT, CTA_TUPLE_REPLY, TCP_BE_LIBERAL, word_bytes,
};
use super::place::Place;
use super::{CTA_LABELS, Conntrack, IPCTNL_MSG_CT_NEW, Labels, Tuple, status};
use crate::error::Error;

/// An entry without NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From its client to its server.
    pub orig: Tuple,
    /// Its zone.
    pub zone: u16,
    /// Whether it was answered.
    pub replied: bool,
    /// Whether it is kept when the table is full.
    pub assured: bool,
    /// Seconds until it expires unless a packet comes.
    pub timeout: u32,
    /// The mark; 0 for none.
    pub mark: u32,
    /// TCP's state, of TCP only. Its windows are not known: they are taken from the next packets, and no packet is found outside of them.
    pub tcp_state: Option<u8>,
    /// The label. A packet may come by between the entry and its label.
    pub labels: Labels,
    /// Label bits that are not ours, as the kernel has them.
    pub others_labels: Labels,
}

impl Conntrack {
    /// Makes an entry; false if there is one with a tuple of its.
    ///
    /// # Errors
    /// [`Error`].
    pub fn create(&mut self, entry: &Entry) -> Result<bool, Error> {
        let bit = |has, bit| if has { bit } else { 0 };
        let bits = bit(entry.replied, status::SEEN_REPLY) | bit(entry.assured, status::ASSURED);
        let Tuple { src, dst, proto, src_port, dst_port } = entry.orig;
        let reply = Tuple { src: dst, dst: src, proto, src_port: dst_port, dst_port: src_port };
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let made = self.act(
            "make a conntrack entry",
            (IPCTNL_MSG_CT_NEW, flags),
            &entry.orig,
            entry.zone,
            |w| {
                reply.write(w, CTA_TUPLE_REPLY);
                w.be32(CTA_STATUS, status::CONFIRMED | bits);
                w.be32(CTA_TIMEOUT, entry.timeout);
                if entry.mark != 0 {
                    w.be32(CTA_MARK, entry.mark);
                }
                if let Some(state) = entry.tcp_state {
                    w.nest(CTA_PROTOINFO, |w| {
                        w.nest(CTA_PROTOINFO_TCP, |w| {
                            w.attr(CTA_PROTOINFO_TCP_STATE, &[state]);
                            for direction in [CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY] {
                                // struct nf_ct_tcp_flags: flags and mask
                                w.attr(direction, &[TCP_BE_LIBERAL, TCP_BE_LIBERAL]);
                            }
                        });
                    });
                }
                let ours = Place::current().to_kernel(entry.labels);
                let words = std::array::from_fn(|n| ours[n] | entry.others_labels[n]);
                w.attr(CTA_LABELS, &word_bytes(words));
            },
            |_| {},
        );
        match made {
            Ok(()) => Ok(true),
            Err(Error::Refused { errno: libc::EEXIST, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
