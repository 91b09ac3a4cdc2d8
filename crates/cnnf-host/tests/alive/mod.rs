//! What no rule may cut, under a policy that forbids everything: neighbours, router advertisements, DHCP, path MTU.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, HostPolicy, HostRule, LocalMatch, Mode};
use cnnf_core::ruleset::QueueBackend;
use cnnf_host::dataplane::Reconciler;

use crate::bed::{namespace, run, with_bed, within};
use crate::{apply, facts, rule};

const BULK: usize = 1 << 20;

/// The child's side: sends a megabyte to whoever connects.
pub(crate) fn serve_bulk(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("::", port))?;
    println!("probe:ready");
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || stream.write_all(&vec![0; BULK]));
    }
    Ok(())
}

/// Everything is forbidden to everybody, in both directions; only the failsafes are left.
fn deny_all() -> HostPolicy {
    let all = HostRule { local: LocalMatch::Any, ..rule(1, "*", 0, &["any"], Effect::Prevent) };
    HostPolicy {
        generation: 1,
        mode: Mode::Enforce,
        egress: vec![all.clone()],
        ingress: vec![all],
        ..HostPolicy::default()
    }
}

fn output(command: &str) -> String {
    let out = Command::new("sh").args(["-c", command]).output().expect("sh");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn root_neighbours_are_found_again_under_a_policy_that_forbids_everything() {
    with_bed("neighbours", |bed| {
        bed.serve("server", "tcp 22");
        bed.serve("server", "tcp 23");
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &deny_all(), &facts(bed, 0));
        let mut live: Vec<TcpStream> = ["10.98.0.1:22", "[fd98::1]:22"]
            .iter()
            .map(|to| bed.there(|| TcpStream::connect(to).expect("a failsafe")))
            .collect();
        for round in 0..3 {
            run("ip neigh flush all; ip -6 neigh flush all");
            if round > 0 {
                bed.there(|| run("ip neigh flush all; ip -6 neigh flush all"));
            }
            assert!(!output("ip neigh; ip -6 neigh").contains("lladdr"), "flushed");
            for stream in &mut live {
                stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
                stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).expect("a live connection goes on");
            }
            for (to, want) in [("10.98.0.1", "ok"), ("[fd98::1]", "ok")] {
                assert_eq!(bed.probe_there(&format!("tcp {to}:22")), want, "{to}");
                assert_eq!(bed.probe_there(&format!("tcp {to}:23")), "timeout", "{to}: all else is forbidden");
            }
            let neighbours = output("ip neigh; ip -6 neigh");
            assert!(neighbours.contains("10.98.0.2 dev v0 lladdr") && neighbours.contains("fd98::2 dev v0 lladdr"));
        }
    });
}

/// dnsmasq on the far host: leases and router advertisements.
fn dnsmasq(bed: &crate::bed::Bed, state: &std::path::Path) -> Child {
    bed.there(|| {
        Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=v1", "--bind-interfaces"])
            .args(["--user=root", "--pid-file=", "--no-ping", "--log-dhcp", "--log-facility=-"])
            .args(["--dhcp-authoritative", "--dhcp-range=10.98.0.100,10.98.0.120,2m"])
            .args(["--enable-ra", "--dhcp-range=fd98::,ra-only", "--ra-param=v1,high,2,1800"])
            .arg(format!("--dhcp-leasefile={}", state.join("leases").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(state.join("log")).expect("log"))
            .spawn()
            .expect("dnsmasq: make deps")
    })
}

#[test]
fn root_leases_are_renewed_and_routers_heard_under_a_policy_that_forbids_everything() {
    with_bed("leases", |bed| {
        let state = tempfile::tempdir().expect("folder");
        bed.service("client");
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &deny_all(), &facts(bed, 0));
        run("sysctl -qw net.ipv6.conf.v0.accept_ra=2 net.ipv6.conf.v0.autoconf=1");
        let server = dnsmasq(bed, state.path());
        bed.keep(server);
        let log = || std::fs::read_to_string(state.path().join("log")).unwrap_or_default();
        let script = state.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n[ \"$1\" != bound ] || ip addr add $ip/24 dev $interface\n")
            .expect("script");
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
        let mut client = Command::new("busybox")
            .args(["udhcpc", "-i", "v0", "-f", "-T", "1", "-t", "5", "-A", "1", "-s"])
            .arg(script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("busybox: make deps");
        let acks = || log().matches("DHCPACK").count();
        eventually("a lease", || acks() == 1);
        eventually("its address", || output("ip addr show dev v0").matches("inet 10.98").count() == 2);
        let renew = nix::unistd::Pid::from_raw(client.id().cast_signed());
        for round in 2..4 {
            // what renews a lease is a datagram to the server, not a raw packet as at first
            nix::sys::signal::kill(renew, nix::sys::signal::Signal::SIGUSR1).expect("signal");
            eventually("a renewed lease", || acks() == round);
            std::thread::sleep(Duration::from_millis(100));
        }
        client.kill().expect("kill");
        client.wait().expect("wait");
        assert!(log().contains("DHCPDISCOVER") && log().contains("DHCPREQUEST"), "{}", log());
        eventually("an address from a router's advertisement", || {
            output("ip -6 addr show dev v0").lines().any(|line| line.contains("fd98:") && line.contains("dynamic"))
        });
    });
}

#[test]
fn root_the_path_mtu_is_found_under_a_policy_that_forbids_everything() {
    with_bed("mtu", |bed| {
        bed.serve("server", "bulk 22");
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &deny_all(), &facts(bed, 0));
        // here — the far host as a router — a host behind a cable that carries 1,300 bytes
        let (behind, path) = namespace();
        bed.there(|| {
            run(&format!("ip link add w0 mtu 1300 type veth peer name w1 mtu 1300; ip link set w1 netns {path}"));
            run("ip addr add 10.99.0.1/24 dev w0; ip addr add fd99::1/64 dev w0 nodad; ip link set w0 up");
            run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        });
        within(&behind, || {
            run("ip addr add 10.99.0.2/24 dev w1; ip addr add fd99::2/64 dev w1 nodad; ip link set w1 up");
            // the cable's end says what it takes by its MSS; a peer that believes more is what path MTU is for
            run("ip link set w1 mtu 1500; ip route add 10.98.0.0/24 via 10.99.0.1; ip route add fd98::/64 via fd99::1");
        });
        run("ip route add 10.99.0.0/24 via 10.98.0.2; ip route add fd99::/64 via fd98::2");
        for (to, behind_at) in [("10.98.0.1:22", "10.99.0.2"), ("[fd98::1]:22", "fd99::2")] {
            let got = within(&behind, || {
                let to: SocketAddr = to.parse().expect("address");
                let until = Instant::now() + Duration::from_secs(5);
                let mut stream = loop {
                    match TcpStream::connect_timeout(&to, Duration::from_secs(1)) {
                        Ok(stream) => break stream,
                        Err(e) => assert!(Instant::now() < until, "a failsafe: {e}"),
                    }
                };
                stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
                let mut all = Vec::new();
                stream.read_to_end(&mut all).map(|_| all.len())
            });
            assert_eq!(got.expect("all of it"), BULK, "{to}");
            let route = output(&format!("ip route get {behind_at}"));
            assert!(route.contains("mtu 1300"), "{route}");
        }
    });
}
