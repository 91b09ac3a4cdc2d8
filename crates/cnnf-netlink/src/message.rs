//! Netlink messages in a datagram, and the error message that answers a request.

use crate::attr::{Attrs, align};

pub(crate) const HEADER: usize = 16;
const NLMSGERR_ATTR_MSG: i32 = 1;
const NLMSGERR_ATTR_OFFS: i32 = 2;
/// Length of `struct nfgenmsg`.
pub(crate) const NFGEN: usize = 4;

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) ty: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The address family of a netfilter subsystem's message.
    pub(crate) fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or(0)
    }

    /// The resource id of a netfilter subsystem's message: a queue's or group's number.
    pub(crate) fn res_id(&self) -> u16 {
        self.body.get(2..4).and_then(|b| b.first_chunk().copied()).map_or(0, u16::from_be_bytes)
    }

    /// Attributes behind a fixed header of `skip` bytes.
    pub(crate) fn attrs(&self, skip: usize) -> Attrs<'a> {
        Attrs(self.body.get(skip..).unwrap_or_default())
    }

    /// What an `NLMSG_ERROR` says.
    pub(crate) fn answer(&self) -> Option<Answer> {
        if i32::from(self.ty) != libc::NLMSG_ERROR {
            return None;
        }
        let errno = i32::from_ne_bytes(*self.body.first_chunk()?).saturating_neg();
        // Behind the error comes the request's header, then (unless capped) the request itself,
        // then the extended acknowledgement's attributes.
        let inner = self.body.get(4..).unwrap_or_default();
        let echoed = if i32::from(self.flags) & libc::NLM_F_CAPPED != 0 {
            HEADER
        } else {
            let len = inner.first_chunk().map_or(HEADER, |l| u32::from_ne_bytes(*l) as usize);
            align(len.min(inner.len()))
        };
        let tlvs = if i32::from(self.flags) & libc::NLM_F_ACK_TLVS != 0 {
            Attrs(inner.get(echoed..).unwrap_or_default())
        } else {
            Attrs(&[])
        };
        Some(Answer {
            errno,
            text: tlvs.find(NLMSGERR_ATTR_MSG).map(|a| a.text()),
            offset: tlvs.find(NLMSGERR_ATTR_OFFS).and_then(|a| a.array().map(u32::from_ne_bytes)).map(|o| o as usize),
        })
    }
}

/// An acknowledgement (errno 0) or a refusal.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) errno: i32,
    pub(crate) text: Option<String>,
    /// Where in the request the attribute is that the kernel dislikes.
    pub(crate) offset: Option<usize>,
}

/// Iterates over the messages of a datagram; the last may lack its padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let h = *self.0.first_chunk::<HEADER>()?;
        let len = u32::from_ne_bytes([h[0], h[1], h[2], h[3]]) as usize;
        let body = self.0.get(HEADER..len)?;
        self.0 = self.0.get(align(len)..).unwrap_or_default();
        Some(Message {
            ty: u16::from_ne_bytes([h[4], h[5]]),
            flags: u16::from_ne_bytes([h[6], h[7]]),
            seq: u32::from_ne_bytes([h[8], h[9], h[10], h[11]]),
            body,
        })
    }
}
