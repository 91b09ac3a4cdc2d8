//! What it costs to load endpoints into the kernel, beside `nft -f` on the same set, and to change one of them.
//!
//! Root: each measurement is a process of its own in a network namespace of its own, so that its memory is its own too. Prints a table and
//! writes `target/bench/programming.json`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use cnnf_core::failsafe::Failsafes;
use cnnf_core::id::ServiceKey;
use cnnf_core::net::{AddrRange, Ports, Protocol};
use cnnf_core::policy::{
    Effect, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId,
    ServicePattern,
};
use cnnf_core::ruleset::{HostFacts, LocalService, QueueBackend, Ruleset, Slot, compile};
use cnnf_host::dataplane::Reconciler;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const GROUP: GroupId = GroupId(1);
const PORT: u16 = 443;
/// Turns; medians are shown.
const TURNS: usize = 5;
/// Changes of one endpoint.
const CHANGES: u32 = 40;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--ours") => ours(arguments[2].parse()?),
        Some("--nft") => nft(&arguments[2]),
        _ => measure(),
    }
}

fn endpoint(n: u32) -> GroupEntry {
    let addresses = AddrRange::single(Ipv4Addr::from(0x0a00_0000 + n).into());
    GroupEntry { addresses, own: false, port: Some((Protocol::Tcp, PORT)) }
}

/// A policy of one rule, whose peers are so many endpoints.
fn policy(endpoints: u32) -> HostPolicy {
    let rule = HostRule {
        reason: Reason::Rule { id: RuleId(1), name: "many".into(), revision: 1 },
        local: LocalMatch::Service(ServicePattern("unit:web".into())),
        peer: PeerMatch::Group(GROUP),
        ports: Ports::Any,
        effect: Effect::Prevent,
        on_failure: OnFailure::Open,
    };
    HostPolicy {
        generation: 1,
        mode: Mode::Enforce,
        egress: vec![rule],
        groups: [(GROUP, (0..endpoints).map(endpoint).collect())].into(),
        ..HostPolicy::default()
    }
}

fn facts() -> Fallible<HostFacts> {
    let slot = Slot::new(Slot::FIRST).ok_or("a slot")?;
    Ok(HostFacts {
        services: vec![LocalService { key: ServiceKey::unit("web"), slot, cgroups: [1 << 40].into() }],
        cgroup_levels: 3,
        queue: QueueBackend::None,
        failsafes: Failsafes::with_controller(7443),
        addresses: BTreeSet::new(),
        udp_ports: BTreeSet::new(),
        epoch: 0,
        log_group: 6400,
        identify_queue: 6400,
        identify_queues: 1,
        evidence_queue: 6401,
        counters: true,
    })
}

fn table(policy: &HostPolicy) -> Fallible<Ruleset> {
    Ok(compile(policy, &facts()?))
}

/// Milliseconds from a policy to the kernel, memory in MiB at its highest; milliseconds for a change of one endpoint: the median, the
/// longest, and of processor time alone, on average.
fn ours(endpoints: u32) -> Fallible<()> {
    let mut policy = policy(endpoints);
    let begin = Instant::now();
    let mut reconciler = Reconciler::open(QueueBackend::None)?;
    reconciler.set_desired(table(&policy)?);
    reconciler.reconcile()?;
    let cold = begin.elapsed().as_secs_f64() * 1e3;
    let memory = highest()?;
    let (mut changes, before) = (Vec::new(), own_time());
    for n in 0..CHANGES {
        let group = policy.groups.get_mut(&GROUP).ok_or("the group")?;
        // a new member and, the next time, an old one less
        let entries = Arc::make_mut(&mut group.entries);
        if n % 2 == 0 {
            entries.insert(endpoint(endpoints + n));
        } else {
            entries.remove(&endpoint(n));
        }
        let begin = Instant::now();
        reconciler.set_desired(table(&policy)?);
        reconciler.reconcile()?;
        changes.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let own = (own_time() - before) * 1e3 / f64::from(CHANGES);
    changes.sort_by(f64::total_cmp);
    println!("{cold:.1} {memory:.1} {:.2} {:.2} {own:.2}", changes[changes.len() / 2], changes[changes.len() - 1]);
    Ok(())
}

/// The same set loaded by `nft`: milliseconds and MiB.
fn nft(file: &str) -> Fallible<()> {
    let begin = Instant::now();
    let mut child = Command::new("nft").args(["-f", file]).spawn()?;
    if !child.wait()?.success() {
        return Err("nft(8) does not load the set".into());
    }
    let took = begin.elapsed().as_secs_f64() * 1e3;
    let children = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    println!("{took:.1} {:.1}", children.max_rss() as f64 / 1024.0);
    Ok(())
}

/// Seconds of processor time: what a change costs on a machine that does something else too.
fn own_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The most memory that this process had, in MiB.
fn highest() -> Fallible<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("VmHWM")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

fn set_file(endpoints: u32, path: &Path) -> Fallible<()> {
    let mut text =
        String::from("table inet t {\n  set s { type ipv4_addr . inet_proto . inet_service\n    elements = {\n");
    for n in 0..endpoints {
        writeln!(text, "      {} . tcp . {PORT},", Ipv4Addr::from(0x0a00_0000 + n))?;
    }
    text.push_str("    }\n  }\n  chain c { ip daddr . ip protocol . tcp dport @s drop; }\n}\n");
    Ok(fs::write(path, text)?)
}

/// Medians of what such a process of ours prints.
fn medians(arguments: &[&str], turns: usize) -> Fallible<Vec<f64>> {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for _ in 0..turns {
        let mut command = Command::new("unshare");
        command.arg("--net").arg(std::env::current_exe()?).args(arguments).stdin(Stdio::null());
        let out = command.stderr(Stdio::inherit()).output()?;
        if !out.status.success() {
            return Err(format!("{arguments:?} failed").into());
        }
        for (n, word) in String::from_utf8(out.stdout)?.split_whitespace().enumerate() {
            if columns.len() <= n {
                columns.push(Vec::new());
            }
            columns[n].push(word.parse()?);
        }
    }
    Ok(columns
        .into_iter()
        .map(|mut column| {
            column.sort_by(f64::total_cmp);
            column[column.len() / 2]
        })
        .collect())
}

fn measure() -> Fallible<()> {
    let file = std::env::temp_dir().join(format!("cnnf-bench-set-{}.nft", std::process::id()));
    let mut rows = Vec::new();
    println!(
        "{:>10} {:>18} {:>12} {:>12} {:>14} {:>14} {:>14}",
        "endpoints", "", "cold, ms", "memory, MiB", "a change, ms", "longest, ms", "processor, ms"
    );
    for (endpoints, turns, barred) in [(100_000, TURNS, true), (1_000_000, 1, false)] {
        set_file(endpoints, &file)?;
        let theirs = medians(&["--nft", &file.display().to_string()], turns);
        fs::remove_file(&file)?;
        let theirs = theirs?;
        let own = medians(&["--ours", &endpoints.to_string()], turns)?;
        println!("{endpoints:>10} {:>18} {:>12.1} {:>12.1}", "nft -f", theirs[0], theirs[1]);
        println!(
            "{endpoints:>10} {:>18} {:>12.1} {:>12.1} {:>14.2} {:>14.2} {:>14.2}",
            "cnnf", own[0], own[1], own[2], own[3], own[4]
        );
        let (time, memory) = (own[0] / theirs[0], own[1] / theirs[1]);
        let bars = [("time", time, 0.5), ("memory", memory, 0.25), ("a change, ms", own[2], 5.0)];
        for (what, value, bar) in bars {
            let verdict = if value <= bar { "holds" } else { "MISSED" };
            if barred {
                println!("{endpoints:>10} {what:>18} {value:>12.3}   bar ≤ {bar:<5} {verdict}");
            } else if what != "a change, ms" {
                println!("{endpoints:>10} {what:>18} {value:>12.3}");
            }
        }
        rows.push(format!(
            "  {{\"endpoints\": {endpoints}, \"nft_ms\": {:.1}, \"nft_mib\": {:.1}, \"cnnf_ms\": {:.1}, \"cnnf_mib\": {:.1}, \"change_ms\": {:.2}, \"longest_change_ms\": {:.2}, \"change_processor_ms\": {:.2}}}",
            theirs[0], theirs[1], own[0], own[1], own[2], own[3], own[4]
        ));
    }
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    fs::create_dir_all(&out)?;
    fs::write(out.join("programming.json"), format!("[\n{}\n]\n", rows.join(",\n")))?;
    Ok(())
}
