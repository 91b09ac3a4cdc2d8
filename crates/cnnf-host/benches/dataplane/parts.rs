//! What is measured.

use std::cell::RefCell;

use cnnf_core::ruleset::QueueBackend;

use crate::lane::{Groups, Lane, SERVER};
use crate::report::{Bar, Report};
use crate::turns::{Once, ROUNDS, any, rounds, undisturbed};
use crate::{Fallible, table, ways};

/// A part of the benchmark.
type Part = fn(&mut Report, &Groups) -> Fallible<()>;

/// All parts, by name.
pub(crate) const ALL: [(&str, Part); 6] = [
    ("connections", known),
    ("bulk", bulk),
    ("udp", udp),
    ("chain", long_chain),
    ("queue", waiting),
    ("opensnitch", opensnitch),
];

/// Connections a run, fewer than there are ports; OpenSnitch gets fewer.
const CONNECTIONS: usize = 5000;
const FEW: usize = 200;
const UDP_MS: &str = "400";
const BULK_MS: &str = "700";
/// One connection's throughput differs from run to run by more than what is asked for.
const BULK_ROUNDS: usize = 3 * ROUNDS;
const UDP_PORT: u16 = 9099;
const BULK_PORT: u16 = 9098;

const SHOWN: [Bar; 4] = [Bar::none("p50"), Bar::none("p99"), Bar::none("connections a second"), Bar::none("own time")];

/// New connections of known services.
fn known(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let service = groups.service().display().to_string();
    let (mut bare, mut tracked, mut known) = (Lane::make()?, Lane::make()?, Lane::make()?);
    let ways = (ways::conntrack(&tracked)?, ways::ours(&known, groups, QueueBackend::None)?);
    connections(report, ("no firewall", &mut bare, &service), ("conntrack", &mut tracked, &service), any, SHOWN)?;
    let mut bars = SHOWN;
    (bars[0], bars[2]) = (Bar::at_most("p50", 1.25), Bar::at_least("connections a second", 0.85));
    connections(report, ("conntrack", &mut tracked, &service), ("cnnf", &mut known, &service), undisturbed, bars)?;
    drop(ways);
    Ok(())
}

/// One connection's throughput; beside no firewall also what chains that accept everything cost, and what connection tracking does.
fn bulk(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let service = groups.service().display().to_string();
    let lanes = [Lane::make()?, Lane::make()?, Lane::make()?, Lane::make()?];
    let [_, accepting, tracked, known] = &lanes;
    let ways = (ways::accept(accepting)?, ways::conntrack(tracked)?, ways::ours(known, groups, QueueBackend::None)?);
    let mut all = Vec::new();
    for mut lane in lanes {
        lane.serve("bulk", BULK_PORT)?;
        let (service, to) = (service.clone(), format!("{SERVER}:{BULK_PORT}"));
        all.push(Box::new(move || lane.load(&[&service, "bulk", &to, BULK_MS])) as Once<'_>);
    }
    let mut all = all.into_iter();
    let base = all.next().ok_or("a lane")?;
    let shown = [Bar::none("throughput"), Bar::none("own time")];
    let bars = [Bar::at_least("throughput", 0.97), Bar::none("own time")];
    let names = [("four chains that accept", shown), ("conntrack", shown), ("cnnf", bars)];
    let others = names.into_iter().zip(all).map(|((name, bars), way)| (name, way, bars)).collect();
    rounds(report, "bulk TCP, Gbit/s and µs/Gbit", BULK_ROUNDS, any, ("no firewall", base), others)?;
    drop(ways);
    Ok(())
}

/// Small datagrams of a connection that was answered.
fn udp(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let service = groups.service().display().to_string();
    let (mut tracked, mut known) = (Lane::make()?, Lane::make()?);
    let ways = (ways::conntrack(&tracked)?, ways::ours(&known, groups, QueueBackend::None)?);
    let base: Once<'_> = Box::new(|| datagrams(&mut tracked, &service, "udp"));
    let ours: Once<'_> = Box::new(|| datagrams(&mut known, &service, "udp"));
    let bars = [Bar::at_least("packets", 0.8)];
    rounds(report, "64-byte UDP, packets/s", ROUNDS, any, ("conntrack", base), vec![("cnnf", ours, bars)])?;
    drop(ways);
    Ok(())
}

/// A thousand rules that are tried one after the other, beside conntrack alone: for each connection once, for packets that nobody answers each time.
fn long_chain(report: &mut Report, groups: &Groups) -> Fallible<()> {
    const NAME: &str = "cnnf, 1,000 rules in a row";
    let service = groups.service().display().to_string();
    let (mut tracked, mut long) = (Lane::make()?, Lane::make()?);
    let ways = (ways::conntrack(&tracked)?, ways::ours_with(&table::long_chain()?, &long, groups, QueueBackend::None)?);
    connections(report, ("conntrack", &mut tracked, &service), (NAME, &mut long, &service), undisturbed, SHOWN)?;
    for (what, how) in [("64-byte UDP, packets/s", "udp"), ("the same without an answer", "shout")] {
        let base: Once<'_> = Box::new(|| datagrams(&mut tracked, &service, how));
        let ours: Once<'_> = Box::new(|| datagrams(&mut long, &service, how));
        rounds(report, what, ROUNDS, any, ("conntrack", base), vec![(NAME, ours, [Bar::none("packets")])])?;
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
    let mut bars = SHOWN;
    bars[0] = Bar::at_most("p50", 2.5);
    let (base, ours) = (("smallest queue", &mut smallest, &*session), ("cnnf, unknown", &mut waiting, &*session));
    connections(report, base, ours, undisturbed, bars)?;
    drop(ways);
    Ok(())
}

/// OpenSnitch, where it is installed.
fn opensnitch(report: &mut Report, groups: &Groups) -> Fallible<()> {
    let service = groups.service().display().to_string();
    let (mut peer, mut known) = (Lane::make()?, Lane::make()?);
    let Some(way) = ways::opensnitch(&peer)? else {
        println!("opensnitch is not installed: not measured");
        return Ok(());
    };
    let own = ways::ours(&known, groups, QueueBackend::None)?;
    let mut bars = SHOWN;
    (bars[0], bars[2]) = (Bar::at_most("p50", 1.0 / 50.0), Bar::at_least("connections a second", 50.0));
    connections(report, ("OpenSnitch", &mut peer, "-"), ("cnnf", &mut known, &service), any, bars)?;
    drop((own, way));
    Ok(())
}

/// Sends datagrams to a server of their own.
fn datagrams(lane: &mut Lane, group: &str, how: &str) -> Fallible<Vec<f64>> {
    lane.serve("udp", UDP_PORT)?;
    let sent = lane.load(&[group, how, &format!("{SERVER}:{UDP_PORT}"), UDP_MS]);
    lane.serve_no_more();
    sent
}

/// New connections, from opening to closing, on two lanes in turns.
fn connections(
    report: &mut Report,
    (base, a, a_group): (&'static str, &mut Lane, &str),
    (name, b, b_group): (&'static str, &mut Lane, &str),
    counts: crate::turns::Counts,
    bars: [Bar; 4],
) -> Fallible<()> {
    let number = if base == "OpenSnitch" { FEW } else { CONNECTIONS };
    let port = RefCell::new(table::PORTS.start);
    let once = |lane: &mut Lane, group: &str, number: usize| {
        // a port of its own each time, so that no run meets the ends of another's connections
        let mut port = port.borrow_mut();
        *port = if *port + 1 < BULK_PORT { *port + 1 } else { table::PORTS.start };
        lane.serve("tcp", *port)?;
        let to = format!("{SERVER}:{port}");
        let warm = lane.load(&[group, "connect", &to, "100"]);
        let measured = warm.and_then(|_| lane.load(&[group, "connect", &to, &number.to_string()]));
        lane.serve_no_more();
        measured
    };
    let (of_base, ours): (Once<'_>, Once<'_>) =
        (Box::new(|| once(a, a_group, number)), Box::new(|| once(b, b_group, CONNECTIONS)));
    rounds(report, "TCP connection, µs and /s", ROUNDS, counts, (base, of_base), vec![(name, ours, bars)])
}
