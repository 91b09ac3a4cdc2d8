use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::identity::{Ends, Owner};
use crate::observation::{FlowSeen, Moment};
use crate::ruleset::{Flags, Label};

fn seen(id: u32, moment: Moment, at: u64, server: &str, port: u16, bytes: u64) -> FlowSeen {
    FlowSeen {
        at: Timestamp(at),
        id,
        moment,
        client: "10.0.0.1".parse().expect("address"),
        client_port: 40_000,
        server: server.parse().expect("address"),
        server_port: port,
        protocol: Protocol::Tcp,
        label: Label::default(),
        replied: false,
        bytes: Some((bytes, 0)),
    }
}

fn local(name: &str) -> Owner {
    Owner::Local(ServiceKey::unit(name))
}

fn out() -> Ends {
    Ends { client: local("web"), server: Owner::Remote }
}

fn sum(records: &[FlowRecord]) -> (u64, u64) {
    records.iter().fold((0, 0), |(c, b), r| (c + r.stats.connections, b + r.stats.bytes))
}

#[test]
fn a_connection_counts_once_and_its_bytes_once() {
    let mut a = Aggregator::new(Bounds::default());
    a.absorb(&seen(1, Moment::New, 5, "10.0.0.2", 80, 0), &out());
    a.absorb(&seen(1, Moment::Alive, 7, "10.0.0.2", 80, 100), &out());
    a.absorb(&seen(1, Moment::End, 9, "10.0.0.2", 80, 150), &out());
    let records = a.drain(Timestamp(10));
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].stats, FlowStats { connections: 1, bytes: 150, first: Timestamp(5), last: Timestamp(9) });
    assert!(a.drain(Timestamp(11)).is_empty());
}

#[test]
fn connections_whose_ids_collide_are_told_apart() {
    let mut a = Aggregator::new(Bounds::default());
    let first = seen(1, Moment::New, 5, "10.0.0.2", 80, 0);
    let second = FlowSeen { client_port: 40_001, ..first.clone() };
    let nobody = Ends { client: Owner::Unstamped, server: Owner::Remote };
    a.absorb(&first, &out());
    a.absorb(&second, &nobody);
    a.absorb(&FlowSeen { moment: Moment::End, ..second }, &nobody);
    let records = a.drain(Timestamp(10));
    let counted: Vec<_> = records.iter().map(|r| (r.key.client_service.clone(), r.stats.connections)).collect();
    assert_eq!(counted, [(Some(ServiceKey::unit("web")), 1), (Some(ServiceKey::unknown()), 1)]);
}

#[test]
fn what_an_earlier_run_counted_is_not_counted_again() {
    let mut a = Aggregator::new(Bounds::default());
    a.adopt(&seen(1, Moment::Alive, 5, "10.0.0.2", 80, 1000), &out());
    let told = a.drain(Timestamp(6));
    assert_eq!((told.len(), sum(&told)), (1, (0, 0)), "it is told of, in case nobody counted it");
    a.absorb(&seen(1, Moment::End, 9, "10.0.0.2", 80, 1500), &out());
    assert_eq!(sum(&a.drain(Timestamp(10))), (0, 500));
}

#[test]
fn a_loopback_connection_is_counted_once_with_both_services() {
    let mut a = Aggregator::new(Bounds::default());
    let half = Ends { client: local("web"), server: Owner::Unstamped };
    let whole = Ends { client: local("web"), server: local("db") };
    a.absorb(&seen(1, Moment::New, 5, "127.0.0.1", 5432, 0), &half);
    assert!(a.drain(Timestamp(100)).is_empty(), "it waits for its second stamp");
    a.absorb(&seen(1, Moment::Alive, 101, "127.0.0.1", 5432, 10), &whole);
    a.absorb(&seen(1, Moment::End, 102, "127.0.0.1", 5432, 20), &whole);
    let records = a.drain(Timestamp(103));
    assert_eq!((records.len(), sum(&records)), (1, (1, 20)));
    assert_eq!(records[0].key.server_service, Some(ServiceKey::unit("db")));
}

#[test]
fn an_event_without_a_stamp_belongs_to_the_services_that_were_stamped() {
    let mut a = Aggregator::new(Bounds::default());
    a.absorb(&seen(1, Moment::New, 5, "10.0.0.2", 80, 0), &out());
    a.absorb(&seen(1, Moment::End, 9, "10.0.0.2", 80, 70), &Ends { client: Owner::Unstamped, server: Owner::Remote });
    let records = a.drain(Timestamp(10));
    assert_eq!((records.len(), sum(&records)), (1, (1, 70)));
    assert_eq!(records[0].key.client_service, Some(ServiceKey::unit("web")));
}

#[test]
fn a_second_stamp_that_never_comes_is_unknown() {
    let mut a = Aggregator::new(Bounds::default());
    a.absorb(&seen(1, Moment::New, 5, "127.0.0.1", 81, 0), &Ends { client: local("web"), server: Owner::Unstamped });
    let records = a.drain(Timestamp(5).plus(Duration::from_secs(1)));
    assert_eq!(records[0].key.server_service, Some(ServiceKey::unknown()));
}

#[test]
fn mid_stream_and_foreign_connections_are_counted_aside() {
    let mut a = Aggregator::new(Bounds::default());
    let mut mid = seen(1, Moment::New, 5, "10.0.0.2", 80, 0);
    mid.label = Label([0, 0, Flags::MIDSTREAM, 0]);
    a.absorb(&mid, &out());
    a.absorb(&seen(2, Moment::New, 5, "10.0.0.2", 80, 0), &Ends { client: Owner::Remote, server: Owner::Remote });
    assert!(a.drain(Timestamp(10)).is_empty());
    assert_eq!((a.skipped().midstream, a.skipped().foreign), (1, 1));
}

#[test]
fn what_two_dumps_do_not_list_has_ended_unseen() {
    let mut a = Aggregator::new(Bounds::default());
    for id in 1..=3 {
        a.absorb(&seen(id, Moment::New, 5, "10.0.0.2", 80, 0), &out());
    }
    a.absorb(&seen(3, Moment::Alive, 6, "10.0.0.2", 80, 40), &out());
    for at in [10, 20] {
        a.absorb(&seen(2, Moment::Alive, at, "10.0.0.2", 80, 0), &out());
        a.absorb(&seen(9, Moment::Alive, at, "10.0.0.2", 80, 0), &out());
        a.swept(Timestamp(at));
        if at == 10 {
            // the end of one that the dump did not list was still on its way
            a.absorb(&seen(3, Moment::End, 9, "10.0.0.2", 80, 100), &out());
        }
    }
    assert_eq!(a.live(), 2);
    assert_eq!(sum(&a.drain(Timestamp(21))), (4, 100), "the one that the dump found new is counted, no byte twice");
}

proptest! {
    /// Whatever is absorbed in whatever interleaving, with however few keys: connections and bytes are conserved.
    #[test]
    fn connections_and_bytes_are_conserved(
        lives in prop::collection::vec((0_u8..40, 1_u16..50, prop::collection::vec(0_u64..1000, 0..4), any::<u64>()), 1..80),
        keys in 0_usize..20,
        drain_every in 1_usize..20,
    ) {
        let mut moments: Vec<(u64, FlowSeen)> = Vec::new();
        let (mut connections, mut bytes) = (0, 0);
        for (n, (host, port, steps, order)) in lives.iter().enumerate() {
            let server = format!("10.1.0.{host}");
            let id = u32::try_from(n).expect("few");
            let mut so_far = 0;
            moments.push((order % 100, seen(id, Moment::New, 1, &server, *port, 0)));
            for (k, step) in steps.iter().enumerate() {
                so_far += step;
                moments.push((order % 100 + k as u64, seen(id, Moment::Alive, 2 + k as u64, &server, *port, so_far)));
            }
            moments.push((order % 100 + 10, seen(id, Moment::End, 9, &server, *port, so_far + 7)));
            connections += 1;
            bytes += so_far + 7;
        }
        moments.sort_by_key(|(order, _)| *order);
        let mut a = Aggregator::new(Bounds { keys, ..Bounds::default() });
        let mut total: BTreeMap<FlowKey, FlowStats> = BTreeMap::new();
        let (mut got_connections, mut got_bytes) = (0, 0);
        for (n, (_, flow)) in moments.iter().enumerate() {
            a.absorb(flow, &out());
            if n % drain_every == 0 || n + 1 == moments.len() {
                let records = a.drain(Timestamp(10));
                prop_assert!(records.len() <= keys + 1, "one remainder: there is one service");
                let (c, b) = sum(&records);
                got_connections += c;
                got_bytes += b;
                for r in records {
                    total.entry(r.key).and_modify(|s| s.merge(&r.stats)).or_insert(r.stats);
                }
            }
        }
        prop_assert_eq!((got_connections, got_bytes), (connections, bytes));
        prop_assert_eq!(a.live(), 0);
        prop_assert!(total.keys().all(|key| key.client_service == Some(ServiceKey::unit("web"))));
        let unspecified: IpAddr = "0.0.0.0".parse().expect("address");
        prop_assert!(total.keys().all(|key| key.port != 0 || key.server == unspecified));
    }

    /// Merging is commutative and associative.
    #[test]
    fn merging_takes_any_order(parts in prop::collection::vec((0_u64..9, 0_u64..9, 0_u64..9, 0_u64..9), 2..6)) {
        let stats: Vec<_> = parts
            .iter()
            .map(|(c, b, f, l)| FlowStats { connections: *c, bytes: *b, first: Timestamp(*f), last: Timestamp(*l) })
            .collect();
        let fold = |all: Vec<FlowStats>| all.into_iter().reduce(|mut a, b| { a.merge(&b); a }).expect("some");
        let mut reversed = stats.clone();
        reversed.reverse();
        prop_assert_eq!(fold(stats), fold(reversed));
    }
}
