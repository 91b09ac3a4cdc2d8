//! Copies of packets that the table has logged: connections that a policy speaks of.

use std::os::fd::{AsFd, BorrowedFd};

use cnnf_core::policy::Vantage;
use cnnf_core::ruleset::LogPrefix;
use cnnf_netlink::Error;
use cnnf_netlink::nflog::{Log, LogSpec, Received};

use super::queue::{LOCAL_OUT, first_packet};
use super::waiting::FirstPacket;

/// Datagrams that are read at once.
const AT_ONCE: usize = 256;

/// A packet's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedCopy {
    /// Whose, why, and what became of it.
    pub prefix: LogPrefix,
    /// The connection, whichever way the packet went.
    pub connection: FirstPacket,
    /// The interface that it came in by, 0 for none.
    pub ifindex: u32,
}

/// The listener of the table's log group.
#[derive(Debug)]
pub struct LoggedCopies {
    log: Log,
    /// The number of the next copy; none before the first.
    next: Option<u32>,
}

impl LoggedCopies {
    /// Listens to `group`.
    ///
    /// # Errors
    /// Somebody else listens, or no permission.
    pub fn open(group: u16) -> Result<Self, Error> {
        Ok(Self { log: Log::bind(&LogSpec { group, ..LogSpec::default() })?, next: None })
    }

    /// The copies that came, and how many were lost before them. Copies that are not the table's are left out.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self) -> Result<(Vec<LoggedCopy>, u64), Error> {
        let (mut copies, mut lost) = (Vec::new(), 0);
        let next = &mut self.next;
        for _ in 0..AT_ONCE {
            let received = self.log.recv(|copy| {
                if let Some(seq) = copy.seq {
                    lost += u64::from(seq.wrapping_sub(next.unwrap_or(seq)));
                    *next = Some(seq.wrapping_add(1));
                }
                let parsed = copy.prefix.trim_end().parse().ok().zip(first_packet(copy.payload));
                copies.extend(parsed.map(|(prefix, packet)| LoggedCopy {
                    prefix,
                    connection: turned(packet, prefix.side, copy.hook == LOCAL_OUT),
                    ifindex: copy.in_ifindex,
                }));
            })?;
            match received {
                // the number of the next copy says how many were lost
                Received::Copies(_) | Received::Overrun => {}
                Received::Nothing => break,
            }
        }
        Ok((copies, lost))
    }
}

impl AsFd for LoggedCopies {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.log.as_fd()
    }
}

/// The packet's connection: what goes out comes from the local end, what comes in goes to it, and the prefix says which end that is.
fn turned(packet: FirstPacket, side: Vantage, outgoing: bool) -> FirstPacket {
    let from_client = match side {
        Vantage::Client => outgoing,
        Vantage::Server => !outgoing,
    };
    if from_client { packet } else { FirstPacket { client: packet.server, server: packet.client, ..packet } }
}

#[cfg(test)]
mod tests {
    use cnnf_core::net::Protocol;

    use super::*;

    #[test]
    fn a_connection_is_the_same_whichever_way_its_packet_went() {
        let (client, server) = ("10.0.0.1:40000".parse().expect("address"), "10.0.0.2:80".parse().expect("address"));
        let there = FirstPacket { protocol: Protocol::Tcp, client, server };
        let back = FirstPacket { client: server, server: client, ..there };
        for (packet, side, outgoing) in [
            (there, Vantage::Client, true),
            (back, Vantage::Client, false),
            (there, Vantage::Server, false),
            (back, Vantage::Server, true),
        ] {
            assert_eq!(turned(packet, side, outgoing), there, "{side:?} {outgoing}");
        }
    }
}
