//! Connection tracking: events, dumps, labels, deletion.
//!
//! ```no_run
//! use cnnf_netlink::conntrack::*;
//!
//! # fn main() -> Result<(), cnnf_netlink::Error> {
//! let mut events = Events::open(Groups::ALL)?; // first listen, then dump: nothing is missed
//! let mut table = Conntrack::open()?;
//! table.dump(|flow| println!("{} -> {}", flow.orig.src, flow.reply.src))?;
//! while let Ok(true) = cnnf_netlink::wait_readable(&events, std::time::Duration::from_secs(1)) {
//!     match events.recv(|flow| println!("{:?} {:?}", flow.kind, flow.labels))? {
//!         Received::Flows(_) => {}
//!         Received::Nothing => {}
//!         Received::Overrun => table.dump(|_| {})?, // events were lost: dump and compare
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each socket sees the network namespace in which it was opened. Accounting (counters) is off
//! unless `net.netfilter.nf_conntrack_acct` is 1; events begin with the first listener if
//! `nf_conntrack_events` is 2, and a flow older than it gives no `Destroy`.

mod entry;
mod flow;
mod place;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::attr::Writer;
use crate::error::Error;
use crate::message::{Message, Messages, NFGEN};
use crate::socket::{Buffer, Port, Socket, request, size_buffer};

pub use entry::Entry;
pub(crate) use flow::label_bytes;
pub use flow::{Counters, Flow, Kind, Labels, Tuple, status, tcp_state};
pub use place::Place;

const IPCTNL_MSG_CT_NEW: u16 = 0;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;

const CTA_TUPLE_ORIG: i32 = 1;
const CTA_ID: i32 = 12;
const CTA_ZONE: i32 = 18;
pub(crate) const CTA_LABELS: i32 = 22;
pub(crate) const CTA_LABELS_MASK: i32 = 23;

/// Receive buffer of an event socket: 3,000 flows at once fit many times.
const EVENT_ROOM: usize = 16 * 1024 * 1024;

const fn message_type(message: u16) -> u16 {
    (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | message
}

/// Which events to listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Groups {
    pub new: bool,
    pub update: bool,
    pub destroy: bool,
}

impl Groups {
    /// All of them.
    pub const ALL: Self = Self { new: true, update: true, destroy: true };
}

/// What [`Events::recv`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many flows were handed over.
    Flows(usize),
    /// Nothing is there to read now.
    Nothing,
    /// The buffer overflowed and events were lost (`ENOBUFS`). What is still in it can be read.
    Overrun,
}

/// A listener to conntrack events.
#[derive(Debug)]
pub struct Events {
    socket: Socket,
}

impl Events {
    /// Listens with a receive buffer of 16 MiB. Needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open(groups: Groups) -> Result<Self, Error> {
        Self::with_room(groups, EVENT_ROOM)
    }

    /// Listens with a receive buffer of `bytes` (which the kernel doubles).
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn with_room(groups: Groups, bytes: usize) -> Result<Self, Error> {
        let socket = Socket::open(libc::NETLINK_NETFILTER)?;
        size_buffer(socket.as_fd().as_raw_fd(), Buffer::Receive, bytes)
            .map_err(Error::system("size the conntrack event buffer"))?;
        // NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY.
        for (wanted, group) in [(groups.new, 1), (groups.update, 2), (groups.destroy, 3)] {
            if wanted {
                socket.join(group)?;
            }
        }
        Ok(Self { socket })
    }

    /// Reads one datagram and hands its flows over.
    ///
    /// # Errors
    /// Those of recv(2), but not "would block" and not `ENOBUFS`, which are results.
    pub fn recv(&mut self, mut each: impl FnMut(Flow)) -> Result<Received, Error> {
        let datagram = match self.socket.recv() {
            Ok(datagram) => datagram,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(Received::Nothing);
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Received::Overrun),
            Err(source) => return Err(Error::System { what: "receive conntrack events", source }),
        };
        let mut n = 0;
        for flow in Messages(datagram).filter_map(parse) {
            n += 1;
            each(flow);
        }
        Ok(Received::Flows(n))
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// A socket for requests to the conntrack table. Needs `CAP_NET_ADMIN`.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(libc::NETLINK_NETFILTER)? })
    }

    /// Hands over every entry, IPv4 and IPv6, of all zones, of kind `Update`. The table changes
    /// meanwhile: an entry may be missed or come twice.
    ///
    /// # Errors
    /// [`Error`].
    pub fn dump(&mut self, mut each: impl FnMut(Flow)) -> Result<(), Error> {
        let seq = self.socket.next_seq();
        let mut w = Writer::new();
        w.begin(message_type(IPCTNL_MSG_CT_GET), libc::NLM_F_REQUEST | libc::NLM_F_DUMP, seq);
        w.nfgen(libc::AF_UNSPEC as u8, 0).end();
        request(&mut self.socket, "dump the conntrack table", &w.buf, seq, |m| {
            if let Some(flow) = parse(m) {
                each(flow);
            }
        })?;
        Ok(())
    }

    /// The entry with this original (or reply) tuple in this zone; `None` if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn get(&mut self, tuple: &Tuple, zone: u16) -> Result<Option<Flow>, Error> {
        let mut found = None;
        match self.act("look a conntrack entry up", (IPCTNL_MSG_CT_GET, 0), tuple, zone, |_| {}, |m| found = parse(m)) {
            Err(Error::Refused { errno: libc::ENOENT, .. }) => Ok(None),
            r => r.map(|()| found),
        }
    }

    /// Sets labels of the entry with this original tuple: `labels = (labels & !mask) | (new & mask)`, and none
    /// that is [others'](Place). Can clear bits, unlike a rule. False if there is no such entry (its peer may have refused).
    ///
    /// # Errors
    /// `ENOSPC` for an entry that was made before any rule used labels: it has no room for them.
    pub fn set_labels(&mut self, tuple: &Tuple, zone: u16, new: Labels, mask: Labels) -> Result<bool, Error> {
        let fill = |w: &mut Writer| {
            w.attr(CTA_LABELS, &label_bytes(new)).attr(CTA_LABELS_MASK, &label_bytes(mask));
        };
        found(self.act("label a conntrack entry", (IPCTNL_MSG_CT_NEW, 0), tuple, zone, fill, |_| {}))
    }

    /// Deletes the entry with this original tuple; with `id`, only if it is still that one. False
    /// if there is no such entry.
    ///
    /// # Errors
    /// [`Error`].
    pub fn delete(&mut self, tuple: &Tuple, zone: u16, id: Option<u32>) -> Result<bool, Error> {
        let fill = |w: &mut Writer| {
            if let Some(id) = id {
                w.attr(CTA_ID, &id.to_be_bytes());
            }
        };
        found(self.act("delete a conntrack entry", (IPCTNL_MSG_CT_DELETE, 0), tuple, zone, fill, |_| {}))
    }

    fn act(
        &mut self,
        what: &'static str,
        (message, flags): (u16, i32),
        tuple: &Tuple,
        zone: u16,
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> Result<(), Error> {
        let seq = self.socket.next_seq();
        let mut w = Writer::new();
        w.begin(message_type(message), libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags, seq).nfgen(tuple.family(), 0);
        tuple.write(&mut w, CTA_TUPLE_ORIG);
        if zone != 0 {
            w.attr(CTA_ZONE, &zone.to_be_bytes());
        }
        fill(&mut w);
        w.end();
        request(&mut self.socket, what, &w.buf, seq, each).map(drop)
    }
}

fn found(r: Result<(), Error>) -> Result<bool, Error> {
    match r {
        Ok(()) => Ok(true),
        Err(Error::Refused { errno: libc::ENOENT, .. }) => Ok(false),
        Err(e) => Err(e),
    }
}

impl AsFd for Conntrack {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn parse(m: Message<'_>) -> Option<Flow> {
    let kind = match m.ty.checked_sub(message_type(0))? {
        IPCTNL_MSG_CT_NEW if i32::from(m.flags) & (libc::NLM_F_CREATE | libc::NLM_F_EXCL) != 0 => Kind::New,
        IPCTNL_MSG_CT_NEW => Kind::Update,
        IPCTNL_MSG_CT_DELETE => Kind::Destroy,
        _ => return None,
    };
    Flow::parse(kind, m.attrs(NFGEN))
}
