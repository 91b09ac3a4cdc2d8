//! What an init sets and sees of its node's network.

use std::fs;
use std::path::Path;

use crate::worldfile::Port;

/// Sets what the kernel lets us set; a sysctl that is missing or refused stays as it is.
pub(crate) fn apply_sysctls(sysctls: &[(String, String)]) {
    for (path, value) in sysctls {
        let _ = fs::write(Path::new("/proc/sys").join(path), value);
    }
}

/// Whether every interface carries packets already: operationally up, forwarding if it is a bridge's port
/// (state 3 of linux/if_bridge.h), and no IPv6 address still tentative (IFA_F_TENTATIVE, 0x40). A bridge itself is
/// not asked: its ports forward a second before the kernel calls it up.
pub(crate) fn links_up() -> bool {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return false };
    let interfaces = entries.flatten().filter(|entry| entry.file_name() != "lo").all(|entry| {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).map(|text| text.trim().to_owned());
        entry.path().join("bridge").exists()
            || read("operstate").is_ok_and(|state| state == "up")
                && read("brport/state").map_or(true, |state| state == "3")
    });
    interfaces && !has_tentative(&fs::read_to_string("/proc/net/if_inet6").unwrap_or_default())
}

// address ifindex prefixlen scope flags name, all but the name in hex
fn has_tentative(if_inet6: &str) -> bool {
    if_inet6.lines().any(|line| {
        let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 0x40 != 0)
    })
}

/// Whether a socket listens on (TCP) or is bound to (UDP) the port. Nothing is sent: no connection is made that
/// somebody could learn from.
pub(crate) fn is_bound(port: Port) -> bool {
    let files = if port.udp { ["/proc/net/udp", "/proc/net/udp6"] } else { ["/proc/net/tcp", "/proc/net/tcp6"] };
    files.iter().any(|file| lists(&fs::read_to_string(file).unwrap_or_default(), port))
}

// proc(5): "sl local_address rem_address st …", addresses as HEX:PORT; state 0A is listening, 07 an unconnected UDP socket.
fn lists(text: &str, port: Port) -> bool {
    let wanted = if port.udp { "07" } else { "0A" };
    text.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().and_then(|address| address.rsplit(':').next());
        let number = local.and_then(|hex| u16::from_str_radix(hex, 16).ok());
        number == Some(port.number) && fields.nth(1) == Some(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
        \u{20}  0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n\
        \u{20}  1: 0100560A:1F90 0200560A:0050 01 00000000:00000000 00:00000000 00000000     0\n";

    #[test]
    fn a_listener_is_found_by_port_and_state() {
        assert!(lists(TCP, Port { udp: false, number: 80 }));
        assert!(!lists(TCP, Port { udp: false, number: 8080 }), "connected, not listening");
        assert!(!lists(TCP, Port { udp: true, number: 80 }));
        assert!(!lists("", Port { udp: false, number: 80 }));
    }

    #[test]
    fn a_tentative_address_is_seen() {
        let line = |flags: &str| format!("fd860000000000000000000000000001 02 40 00 {flags} eth0\n");
        assert!(has_tentative(&line("40")));
        assert!(has_tentative(&line("c0")));
        assert!(!has_tentative(&line("82")));
    }
}
