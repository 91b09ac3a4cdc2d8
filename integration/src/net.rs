//! The world's network: one bridge in a namespace of its own, a veth pair for each node.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::{Error, Result, Tried};

/// The number of the controller's addresses, 10.86.0.250 and fd86::250.
pub(crate) const CONTROLLER_NUMBER: usize = 250;

/// The bridge's device in the bridge's namespace.
pub(crate) const BRIDGE_DEVICE: &str = "br0";

/// A node's IPv4 address.
pub(crate) fn v4(number: usize) -> String {
    format!("10.86.0.{number}")
}

/// A node's IPv6 address; the number is written in decimal digits, so that it looks like the IPv4 one.
pub(crate) fn v6(number: usize) -> String {
    format!("fd86::{number}")
}

/// Set in every namespace before it has an interface: addresses work at once, and no routers are looked for.
pub(crate) fn host_sysctls(defender: bool) -> Vec<(String, String)> {
    let mut sysctls = vec![
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/dad_transmits", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
    ];
    if defender {
        sysctls.extend([("net/netfilter/nf_conntrack_acct", "1"), ("net/netfilter/nf_conntrack_timestamp", "1")]);
    }
    owned(&sysctls)
}

/// The bridge's namespace only carries frames: no address of its own, no firewall's look at what passes.
pub(crate) fn bridge_sysctls() -> Vec<(String, String)> {
    owned(&[
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/bridge/bridge-nf-call-iptables", "0"),
        ("net/bridge/bridge-nf-call-ip6tables", "0"),
    ])
}

fn owned(sysctls: &[(&str, &str)]) -> Vec<(String, String)> {
    sysctls.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

/// ip-link(8) lines that make the bridge and its ports; `nodes` are (number, pid of the init).
///
/// Ports come up before their peers, so that a peer has its carrier at once. No snooping: neighbour discovery must
/// reach everybody from the first packet on.
pub(crate) fn bridge_batch(nodes: &[(usize, i32)]) -> String {
    let mut batch =
        format!("link add {BRIDGE_DEVICE} type bridge forward_delay 0 mcast_snooping 0\nlink set {BRIDGE_DEVICE} up\n");
    for (number, pid) in nodes {
        batch += &format!("link add p{number} type veth peer name eth0 netns {pid}\n");
        batch += &format!("link set p{number} master {BRIDGE_DEVICE} up\n");
    }
    batch
}

/// ip(8) lines that give a node its addresses.
pub(crate) fn host_batch(number: usize) -> String {
    format!(
        "link set lo up\nlink set eth0 up\naddr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\n",
        v4(number),
        v6(number)
    )
}

/// Runs `ip -batch` in the network namespaces of processes, all at the same time.
pub(crate) fn run_batches(batches: &[(i32, String)]) -> Result<()> {
    let failed = || "cannot set up the world's network with ip(8)".to_owned();
    let mut running = Vec::new();
    for (pid, batch) in batches {
        let mut child = Command::new("/proc/self/exe")
            .args(["net", &pid.to_string(), "--", "ip", "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .tried(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes()).tried(failed)?;
        }
        running.push(child);
    }
    for child in running {
        let output = child.wait_with_output().tried(failed)?;
        if !output.status.success() {
            return Err(Error::Failed(format!("{}: {}", failed(), String::from_utf8_lossy(&output.stderr).trim())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_files_order() {
        assert_eq!((v4(1), v6(1)), ("10.86.0.1".to_owned(), "fd86::1".to_owned()));
        assert_eq!(v6(CONTROLLER_NUMBER), "fd86::250");
        assert!(host_batch(12).contains("addr add fd86::12/64 dev eth0 nodad\n"));
    }

    #[test]
    fn a_port_is_up_before_its_peer() {
        let batch = bridge_batch(&[(1, 77)]);
        assert!(batch.ends_with("link add p1 type veth peer name eth0 netns 77\nlink set p1 master br0 up\n"));
    }
}
