//! Live connections while the policy changes: what is still allowed goes on, what is no longer allowed is cut.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cnnf_core::policy::{Effect, GroupId, HostPolicy, HostRule, Mode};
use cnnf_core::ruleset::QueueBackend;
use cnnf_host::dataplane::{Reconciler, epoch};

use crate::bed::{Bed, with_bed};
use crate::{apply, facts, group, rule};

/// How often a byte goes on its way.
const BEAT: Duration = Duration::from_millis(10);
/// The promise.
const WITHIN: Duration = Duration::from_secs(1);
const CHANGES: u32 = 100;

/// The child's side: sends a byte every [`BEAT`] to whoever connects.
pub(crate) fn serve_push(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("::", port))?;
    println!("probe:ready");
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(BEAT);
            }
        });
    }
    Ok(())
}

/// The child's side of [`Stream::here`]: a dot for each byte that comes.
pub(crate) fn pump(kind: &str, to: SocketAddr) -> Result<()> {
    let mut out = std::io::stdout();
    beat(kind, TcpStream::connect(to)?, || {
        let _ = out.write_all(b".").and_then(|()| out.flush());
    });
    Ok(())
}

/// Reads until the connection ends; where the kind is `echo`, each byte is sent first.
fn beat(kind: &str, mut stream: TcpStream, mut came: impl FnMut()) {
    loop {
        if kind == "echo" {
            std::thread::sleep(BEAT);
            if stream.write_all(b".").is_err() {
                return;
            }
        }
        match stream.read(&mut [0]) {
            Ok(1) => came(),
            _ => return,
        }
    }
}

/// A connection, as seen by who opened it.
struct Stream {
    what: String,
    last: Arc<Mutex<Instant>>,
}

impl Stream {
    /// A service here has opened it.
    fn here(bed: &mut Bed, service: &str, kind: &str, to: &str) -> Self {
        let mut child = bed.start(Some(service), &format!("pump {kind} {to}"));
        let mut out = child.stdout.take().expect("output");
        bed.keep(child);
        let stream = Self { what: format!("{service} here, {kind} {to}"), last: Arc::new(Mutex::new(Instant::now())) };
        let last = Arc::clone(&stream.last);
        std::thread::spawn(move || {
            let mut byte = [0];
            while out.read(&mut byte).is_ok_and(|n| n == 1) {
                if byte == *b"." {
                    *last.lock().expect("last") = Instant::now();
                }
            }
        });
        stream
    }

    /// The far host has opened it.
    fn there(bed: &Bed, kind: &'static str, to: &str) -> Self {
        let connection = bed.there(|| TcpStream::connect(to).expect("connect"));
        let stream = Self { what: format!("from there, {kind} {to}"), last: Arc::new(Mutex::new(Instant::now())) };
        let last = Arc::clone(&stream.last);
        std::thread::spawn(move || beat(kind, connection, || *last.lock().expect("last") = Instant::now()));
        stream
    }

    fn last(&self) -> Instant {
        *self.last.lock().expect("last")
    }

    /// Whether bytes come after `since`.
    fn lives(&self, since: Instant) -> bool {
        let until = Instant::now() + WITHIN;
        while self.last() <= since && Instant::now() < until {
            std::thread::sleep(BEAT);
        }
        self.last() > since
    }
}

fn policy(egress: Vec<HostRule>, ingress: Vec<HostRule>, far: &[&str]) -> HostPolicy {
    let groups = [(GroupId(1), group(far))].into();
    HostPolicy { generation: 1, mode: Mode::Enforce, egress, ingress, groups, ..HostPolicy::default() }
}

/// Policies that mean something else each time, and nothing to the streams.
fn another(n: u32) -> HostPolicy {
    let unrelated = [format!("tcp/{}", 9 + n % 3)];
    let ports: Vec<&str> = unrelated.iter().map(String::as_str).collect();
    let prevent = |id, local| rule(id, local, 1, &ports, Effect::Prevent);
    let mut egress = vec![rule(1, "unit:client", 1, &["tcp/8003-8004"], Effect::Allow), prevent(2, "unit:client")];
    if n % 2 == 1 {
        egress.push(rule(3, "unit:client", 1, &["tcp/8001-8004"], Effect::Alert));
    }
    let far: &[&str] = if n % 5 < 2 { &["10.98.0.2", "fd98::2"] } else { &["10.98.0.0/24", "fd98::/64", "192.0.2.7"] };
    policy(egress, vec![prevent(4, "unit:server")], far)
}

fn tightened() -> HostPolicy {
    let mut policy = another(0);
    policy.egress.push(rule(5, "unit:client", 1, &["tcp/8001-8002"], Effect::Prevent));
    policy.ingress.push(rule(6, "unit:server", 1, &["tcp/8101-8102"], Effect::Prevent));
    policy
}

#[test]
fn root_allowed_streams_live_through_a_hundred_policies_and_prevented_ones_are_cut_within_a_second() {
    with_bed("streams", |bed| {
        for port in [8001, 8003] {
            bed.serve_there(&format!("push {port}"));
            bed.serve_there(&format!("tcp {}", port + 1));
            bed.serve("server", &format!("push {}", port + 100));
            bed.serve("server", &format!("tcp {}", port + 101));
        }
        let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
        apply(&mut reconciler, &another(0), &facts(bed, 0));
        let (mut allowed, mut prevented) = (Vec::new(), Vec::new());
        for (near, far) in [("10.98.0.1", "10.98.0.2"), ("[fd98::1]", "[fd98::2]")] {
            for (streams, port) in [(&mut prevented, 8001), (&mut allowed, 8003)] {
                streams.push(Stream::here(bed, "client", "push", &format!("{far}:{port}")));
                streams.push(Stream::here(bed, "client", "echo", &format!("{far}:{}", port + 1)));
                streams.push(Stream::there(bed, "push", &format!("{near}:{}", port + 100)));
                streams.push(Stream::there(bed, "echo", &format!("{near}:{}", port + 101)));
            }
        }
        let mut changed = |n: u32, policy: &HostPolicy| {
            // as the defender does it: a bit that comes again is taken off what lives
            if n >= epoch::EPOCHS {
                epoch::clear(epoch::bit(n)).expect("clear");
            }
            apply(&mut reconciler, policy, &facts(bed, epoch::bit(n)));
        };
        for n in 1..=CHANGES {
            changed(n, &another(n));
            std::thread::sleep(BEAT);
        }
        let now = Instant::now();
        let dead: Vec<_> = allowed.iter().chain(&prevented).filter(|s| !s.lives(now)).map(|s| &s.what).collect();
        assert!(dead.is_empty(), "cut by a policy that allows it: {dead:#?}");

        changed(CHANGES + 1, &tightened());
        let tightened = Instant::now();
        std::thread::sleep(WITHIN + WITHIN);
        let mut latest = Duration::ZERO;
        for stream in &prevented {
            let went_on = stream.last().saturating_duration_since(tightened);
            println!("{}: bytes came for {went_on:?}", stream.what);
            latest = latest.max(went_on);
        }
        println!(
            "{} streams through {CHANGES} policies; cut after at most {latest:?}",
            allowed.len() + prevented.len()
        );
        assert!(latest <= WITHIN, "cut only after {latest:?}");
        let now = Instant::now();
        let dead: Vec<_> = allowed.iter().filter(|s| !s.lives(now)).map(|s| &s.what).collect();
        assert!(dead.is_empty(), "cut with the others: {dead:#?}");
    });
}
