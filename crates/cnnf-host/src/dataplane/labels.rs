//! Labels of connections that no defender gave them, and those of another place in conntrack's bits.

use cnnf_core::ruleset::{Label, Slot};
use cnnf_netlink::Error;
use cnnf_netlink::conntrack::{Conntrack, Tuple};

/// Takes our part off the label of every connection; returns of how many.
///
/// # Errors
/// The table could not be read, or a label not written. A connection that is gone, or that has no room for a label, is none.
pub fn clear() -> Result<usize, Error> {
    let mut conntrack = Conntrack::open()?;
    let mut labelled: Vec<(Tuple, u16)> = Vec::new();
    conntrack.dump(|flow| {
        if flow.labels != [0; 4] {
            labelled.push((flow.orig, flow.zone));
        }
    })?;
    let mut cleared = 0;
    for (tuple, zone) in labelled {
        cleared += usize::from(conntrack.set_labels(&tuple, zone, [0; 4], [u32::MAX; 4])?);
    }
    Ok(cleared)
}

/// How many connections carry bits in our words that are no service's: somebody else's, or those of two services that shared a UDP port.
///
/// # Errors
/// The table could not be read.
pub fn strange() -> Result<usize, Error> {
    let mut strange = 0;
    Conntrack::open()?.dump(|flow| {
        let label = Label(flow.labels);
        let is_strange =
            |slot: Option<Slot>, word: u32| slot == Some(Slot::AMBIGUOUS) && word != Slot::AMBIGUOUS.word();
        strange += usize::from(is_strange(label.client(), label.0[0]) || is_strange(label.server(), label.0[1]));
    })?;
    Ok(strange)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;
    use crate::testbed::in_namespace;

    #[test]
    fn root_bits_of_others_are_seen_and_stay() {
        in_namespace(|| {
            let nft =
                |script: &str| assert!(Command::new("nft").arg(script).status().expect("nft").success(), "{script}");
            nft("add table inet t; add chain inet t o { type filter hook output priority 0; }");
            // one in word 0, one of the 24 that are others'
            for bit in [3, 80] {
                nft(&format!("add rule inet t o ct state new ct label set {bit}"));
            }
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let _client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
            assert_eq!(strange().expect("looked"), 1);
            assert_eq!(clear().expect("cleared"), 1);
            assert_eq!((strange().expect("looked"), clear().expect("again")), (0, 0));
            let mut left = Vec::new();
            Conntrack::open().expect("open").dump(|flow| left.push((flow.labels, flow.others_labels))).expect("dump");
            assert_eq!(left, [([0; 4], [0, 0, 1 << 16, 0])]);
        });
    }
}
