//! What the table costs: beside no firewall, connection tracking alone, the smallest queue in user space, and OpenSnitch.
//!
//! Root: makes network namespaces and control groups of its own and removes them. Each way of filtering has a lane of its own
//! ([`lane`]); two of them are measured in turns, so that both meet the machine as it is just then, and the median of the pairs'
//! ratios is held against a bar. Pairs whose baseline is disturbed are thrown away and counted. Prints a table and writes
//! `target/bench/dataplane.json`. `cargo bench -p cnnf-host --bench dataplane -- --queue-only` measures only what waits in a queue, `--chain-only`
//! only the longest chain of rules.

mod lane;
mod load;
mod report;
mod table;
mod ways;

use cnnf_core::ruleset::QueueBackend;
use lane::{Groups, Lane, SERVER};
use report::{Bar, Measured, Report};

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Pairs that count.
const PAIRS: usize = 7;
/// A pair whose baseline needs more for a connection met another job of the machine's, in µs.
const DISTURBED_US: f64 = 100.0;
/// Pairs that are tried, in all.
const ATTEMPTS: usize = 40;
/// Connections a run, fewer than there are ports; OpenSnitch gets fewer.
const CONNECTIONS: usize = 5000;
const FEW: usize = 200;
const UDP_MS: &str = "400";
const BULK_MS: &str = "700";
const UDP_PORT: u16 = 9099;
const BULK_PORT: u16 = 9098;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--load") => load::run(&arguments[2..]),
        Some(part @ ("--queue-only" | "--chain-only")) => {
            let groups = Groups::make()?;
            let mut report = Report::default();
            match part {
                "--queue-only" => waiting(&mut report, &groups)?,
                _ => long_chain(&mut report, &groups)?,
            }
            report.finish()
        }
        _ => measure(),
    }
}

fn measure() -> Fallible<()> {
    let groups = Groups::make()?;
    let service = groups.service().display().to_string();
    let mut report = Report::default();

    let (mut bare, mut tracked, mut known) = (Lane::make()?, Lane::make()?, Lane::make()?);
    let ways = (ways::conntrack(&tracked)?, ways::ours(&known, &groups, QueueBackend::None)?);
    let bars = [
        Bar::at_most("p50", 1.25),
        Bar::none("p99"),
        Bar::at_least("connections a second", 0.85),
        Bar::none("own time"),
    ];
    connections(
        &mut report,
        "no firewall",
        (&mut bare, &service),
        "conntrack",
        (&mut tracked, &service),
        [Bar::none("p50"), Bar::none("p99"), Bar::none("connections a second"), Bar::none("own time")],
    )?;
    connections(&mut report, "conntrack", (&mut tracked, &service), "cnnf", (&mut known, &service), bars)?;

    for lane in [&mut bare, &mut tracked, &mut known] {
        lane.serve("bulk", BULK_PORT)?;
    }
    let to = format!("{SERVER}:{BULK_PORT}");
    let bulk = |lane: &mut Lane| lane.load(&[&service, "bulk", &to, BULK_MS]);
    pairs(
        &mut report,
        "bulk TCP, Gbit/s",
        ("no firewall", || bulk(&mut bare)),
        ("cnnf", || bulk(&mut known)),
        [Bar::at_least("throughput", 0.97)],
    )?;
    let udp = |lane: &mut Lane| datagrams(lane, &service, "udp");
    pairs(
        &mut report,
        "64-byte UDP, packets/s",
        ("conntrack", || udp(&mut tracked)),
        ("cnnf", || udp(&mut known)),
        [Bar::at_least("packets", 0.8)],
    )?;
    drop((ways, bare));

    long_chain(&mut report, &groups)?;
    waiting(&mut report, &groups)?;

    let (mut peer, mut known) = (Lane::make()?, known);
    match ways::opensnitch(&peer)? {
        None => println!("opensnitch is not installed: not measured"),
        Some(way) => {
            let own = ways::ours(&known, &groups, QueueBackend::None)?;
            let bars = [
                Bar::at_most("p50", 1.0 / 50.0),
                Bar::none("p99"),
                Bar::at_least("connections a second", 50.0),
                Bar::none("own time"),
            ];
            connections(&mut report, "OpenSnitch", (&mut peer, "-"), "cnnf", (&mut known, &service), bars)?;
            drop((own, way));
        }
    }
    report.finish()
}

/// Sends datagrams to a server of their own.
fn datagrams(lane: &mut Lane, group: &str, how: &str) -> Fallible<Vec<f64>> {
    lane.serve("udp", UDP_PORT)?;
    let sent = lane.load(&[group, how, &format!("{SERVER}:{UDP_PORT}"), UDP_MS]);
    lane.serve_no_more();
    sent
}

/// A thousand rules that are tried one after the other, beside conntrack alone: for each connection once, for packets that nobody answers each time.
fn long_chain(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let service = groups.service().display().to_string();
    let (mut tracked, mut long) = (Lane::make()?, Lane::make()?);
    let ways = (ways::conntrack(&tracked)?, ways::ours_with(&table::long_chain()?, &long, groups, QueueBackend::None)?);
    let bars = [Bar::none("p50"), Bar::none("p99"), Bar::none("connections a second"), Bar::none("own time")];
    connections(
        report,
        "conntrack",
        (&mut tracked, &service),
        "cnnf, 1,000 rules in a row",
        (&mut long, &service),
        bars,
    )?;
    for (what, how) in [("64-byte UDP, packets/s", "udp"), ("the same without an answer", "shout")] {
        pairs(
            report,
            what,
            ("conntrack", || datagrams(&mut tracked, &service, how)),
            ("cnnf, 1,000 rules in a row", || datagrams(&mut long, &service, how)),
            [Bar::none("packets")],
        )?;
    }
    drop(ways);
    Ok(())
}

/// What waits in a queue until its owner is found, beside the smallest queue.
fn waiting(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let queue = ways::queue_backend()?;
    if queue == QueueBackend::None {
        println!("this kernel has no queue: what waits in one is not measured");
        return Ok(());
    }
    let session = groups.session().display().to_string();
    let (mut smallest, mut waiting) = (Lane::make()?, Lane::make()?);
    let ways = (ways::smallest_queue(&smallest, queue)?, ways::ours(&waiting, groups, queue)?);
    let bars = [Bar::at_most("p50", 2.5), Bar::none("p99"), Bar::none("connections a second"), Bar::none("own time")];
    let (smallest, waiting) = ((&mut smallest, &*session), (&mut waiting, &*session));
    connections(report, "smallest queue", smallest, "cnnf, unknown", waiting, bars)?;
    drop(ways);
    Ok(())
}

/// New connections, from opening to closing, on two lanes in turns.
fn connections<const N: usize>(
    report: &mut Report,
    base: &'static str,
    (a, a_group): (&mut Lane, &str),
    name: &'static str,
    (b, b_group): (&mut Lane, &str),
    bars: [Bar; N],
) -> Fallible<()> {
    let number = if base == "OpenSnitch" { FEW } else { CONNECTIONS };
    let mut port = table::PORTS.start;
    let mut once = |lane: &mut Lane, group: &str, number: usize| {
        // a port of its own each time, so that no run meets the ends of another's connections
        port = if port + 1 < BULK_PORT { port + 1 } else { table::PORTS.start };
        lane.serve("tcp", port)?;
        let to = format!("{SERVER}:{port}");
        let warm = lane.load(&[group, "connect", &to, "100"]);
        let measured = warm.and_then(|_| lane.load(&[group, "connect", &to, &number.to_string()]));
        lane.serve_no_more();
        measured
    };
    let once = std::cell::RefCell::new(&mut once);
    pairs(
        report,
        "TCP connection, µs and /s",
        (base, || once.borrow_mut()(a, a_group, number)),
        (name, || once.borrow_mut()(b, b_group, CONNECTIONS)),
        bars,
    )
}

/// Measures two ways in turns until enough pairs count.
fn pairs<const N: usize>(
    report: &mut Report,
    what: &'static str,
    (base, mut a): (&'static str, impl FnMut() -> Fallible<Vec<f64>>),
    (name, mut b): (&'static str, impl FnMut() -> Fallible<Vec<f64>>),
    bars: [Bar; N],
) -> Fallible<()> {
    let mut measured = Measured::new(what, base, name);
    for attempt in 0..ATTEMPTS {
        // who comes first changes, as a machine may get slower or faster meanwhile
        let (of_base, of_ours) = if attempt % 2 == 0 {
            let first = a()?;
            (first, b()?)
        } else {
            let first = b()?;
            (a()?, first)
        };
        let disturbed = what.starts_with("TCP") && base != "OpenSnitch" && of_base[0] > DISTURBED_US;
        if disturbed {
            measured.thrown_away += 1;
        } else {
            measured.pairs.push((of_base, of_ours));
        }
        if measured.pairs.len() == PAIRS {
            break;
        }
    }
    report.add(measured, &bars);
    Ok(())
}
