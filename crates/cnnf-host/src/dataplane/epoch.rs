//! Epochs: under which policy a connection was judged.
//!
//! An allowed connection that was answered is sealed with the current epoch's bit in word 3 of its label, and passes unjudged while that epoch
//! lasts. A policy that may decide otherwise comes with the next bit; after 32 of them a bit comes again, and live connections may still carry it.

use cnnf_netlink::Error;
use cnnf_netlink::conntrack::{Conntrack, Tuple};

/// How many epochs have bits of their own.
pub const EPOCHS: u32 = 32;

/// The bit of the epoch with this count, by number.
#[must_use]
pub fn bit(count: u32) -> u8 {
    u8::try_from(count % EPOCHS).unwrap_or(0)
}

/// Clears an epoch's bit on every live connection; returns on how many. A rule cannot do this: nft only sets bits.
///
/// # Errors
/// The table could not be read, or a label not written. A connection that is gone, or that has no room for a label, is none.
pub fn clear(bit: u8) -> Result<usize, Error> {
    let mask = 1_u32 << (bit & 31);
    let mut conntrack = Conntrack::open()?;
    let mut sealed: Vec<(Tuple, u16)> = Vec::new();
    conntrack.dump(|flow| {
        if flow.labels[3] & mask != 0 {
            sealed.push((flow.orig, flow.zone));
        }
    })?;
    let mut cleared = 0;
    for (tuple, zone) in sealed {
        cleared += usize::from(conntrack.set_labels(&tuple, zone, [0; 4], [0, 0, 0, mask])?);
    }
    Ok(cleared)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn bits_come_again_after_32() {
        assert_eq!((bit(0), bit(31), bit(32), bit(65)), (0, 31, 0, 1));
    }

    #[test]
    fn root_a_bit_is_cleared_and_the_rest_of_a_label_stays() {
        in_namespace(|| {
            let nft =
                |script: &str| assert!(Command::new("nft").arg(script).status().expect("nft").success(), "{script}");
            nft("add table inet t; add chain inet t o { type filter hook output priority 0; }");
            // bits 3 (word 0), 100 (word 3, bit 4) and 101
            for bit in [3, 100, 101] {
                nft(&format!("add rule inet t o ct state new ct label set {bit}"));
            }
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
            assert_eq!(clear(4).expect("clear"), 1);
            assert_eq!(clear(4).expect("again"), 0);
            let mut labels = Vec::new();
            Conntrack::open().expect("open").dump(|flow| labels.push(flow.labels)).expect("dump");
            assert_eq!(labels, [[1 << 3, 0, 0, 1 << 5]]);
        });
    }
}
