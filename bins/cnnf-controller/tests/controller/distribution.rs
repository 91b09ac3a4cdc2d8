//! Who is sent a policy, and how much of it.

use std::time::Duration;

use cnnf_core::policy::{HostDelta, HostPolicy, PeerMatch};
use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;

use crate::place::{Place, Stream, inventory, rule};

/// Longer than changes are gathered, and than a host waits that need not wait.
const LONG: Duration = Duration::from_millis(900);

/// What a host holds, as a defender keeps it.
struct Held(HostPolicy);

impl Held {
    /// Follows the stream until nothing has come for a while; says how much came, and whether all of it were deltas.
    async fn follow(&mut self, stream: &mut Stream) -> (usize, bool) {
        let (mut members, mut small) = (0, true);
        while let Ok(next) = tokio::time::timeout(LONG, stream.next_policy()).await {
            match next {
                Ok(delta) => {
                    let delta = HostDelta::try_from(delta).expect("readable");
                    members += delta.size();
                    self.0 = delta.apply(&self.0).expect("it fits what was sent before");
                }
                Err(policy) => {
                    small = false;
                    self.0 = HostPolicy::try_from(policy).expect("readable");
                }
            }
        }
        (members, small)
    }

    fn members(&self) -> usize {
        self.0.groups.values().map(|group| group.entries.len()).sum()
    }
}

async fn add(place: &Place, rule: v1::Rule) {
    let request = v1::AddRuleRequest { rule: Some(rule), ..Default::default() };
    PolicyServiceClient::new(place.admin().await).add_rule(request).await.expect("added");
}

#[tokio::test]
async fn a_move_reaches_those_whom_it_concerns_as_a_small_change() {
    let place = Place::new();
    let mut streams = Vec::new();
    for (n, services) in [
        ("db", &[("unit:db", 5432_u32), ("unit:log", 514)][..]),
        ("app", &[("unit:app", 0)]),
        ("mail", &[("unit:mail", 25)]),
    ] {
        let mut stream = place.enrol(n).await.attach_for_deltas(&place).await;
        let address = format!("10.9.0.{}", streams.len() + 1);
        stream.deliver(1, inventory(&address, services)).await;
        streams.push(stream);
    }
    // so many entries that a change is small beside the whole
    for n in 0..20 {
        add(
            &place,
            v1::Rule {
                ports: vec![format!("tcp/{}", 5000 + n)],
                ..rule(&format!("r{n}"), "unit:app", "unit:db", "alert")
            },
        )
        .await;
    }
    let mut held: Vec<Held> = Vec::new();
    for stream in &mut streams {
        let mut one = Held(HostPolicy::default());
        let (_, small) = one.follow(stream).await;
        assert!(!small, "a stream begins with the whole");
        assert_eq!(one.0.egress.len(), 20);
        held.push(one);
    }
    let before: Vec<u64> = held.iter().map(|held| held.0.generation).collect();
    let members = held[1].members();

    streams[0].deliver(2, inventory("10.9.0.1", &[("unit:db", 5433), ("unit:log", 514)])).await;
    let mut came = Vec::new();
    for (held, stream) in held.iter_mut().zip(&mut streams) {
        came.push(held.follow(stream).await);
    }
    let after: Vec<u64> = held.iter().map(|held| held.0.generation).collect();
    assert_eq!(after[1], before[1] + 1, "the client's host is told");
    assert_eq!(came[1], (3, true), "one member goes, one comes");
    assert_eq!(held[1].members(), members);
    assert_eq!((after[2], came[2]), (before[2], (0, true)), "who runs neither is left alone");
    assert!(came[0].1 && after[0] > before[0], "the server's own host is told");

    // the host that was left alone gets what it lacks with whatever concerns it next
    streams[2].deliver(2, inventory("10.9.0.3", &[("unit:mail", 25), ("unit:app", 0)])).await;
    assert!(held[2].follow(&mut streams[2]).await.1);
    let servers = |held: &Held| {
        let PeerMatch::Group(id) = held.0.egress[0].peer else { panic!("{:?}", held.0.egress) };
        held.0.groups[&id].clone()
    };
    assert_eq!(servers(&held[1]), servers(&held[2]), "both may reach the same");
}

#[tokio::test]
async fn a_host_that_lost_the_thread_gets_the_whole() {
    let place = Place::new();
    let mut stream = place.enrol("web").await.attach_for_deltas(&place).await;
    let mut held = Held(HostPolicy::default());
    for n in 0..8 {
        add(&place, rule(&format!("r{n}"), "unit:a", "any", "alert")).await;
    }
    held.follow(&mut stream).await;
    add(&place, rule("one more", "unit:a", "any", "alert")).await;
    let Ok(Ok(lost)) = tokio::time::timeout(LONG, stream.next_policy()).await else { panic!("a delta was due") };
    let wanted = v1::SnapshotWanted { generation: held.0.generation, reason: "it was lost".to_owned() };
    stream.say(Up::SnapshotWanted(wanted)).await;
    let Ok(Err(whole)) = tokio::time::timeout(LONG, stream.next_policy()).await else { panic!("the whole was due") };
    assert_eq!((whole.generation, whole.egress.len()), (lost.to, 9));
    held.0 = HostPolicy::try_from(whole).expect("readable");
    add(&place, rule("and another", "unit:a", "any", "alert")).await;
    assert!(held.follow(&mut stream).await.1, "from then on changes again");
    assert_eq!(held.0.egress.len(), 10);
}

#[tokio::test]
async fn a_defender_that_knows_no_deltas_gets_whole_policies_and_numbers_outlive_a_kill() {
    let mut place = Place::new();
    let host = place.enrol("web").await;
    let mut stream = host.attach(&place).await;
    let mut held = Held(HostPolicy::default());
    for n in 0..8 {
        add(&place, rule(&format!("r{n}"), "unit:a", "any", "alert")).await;
    }
    assert!(!held.follow(&mut stream).await.1);
    add(&place, rule("one more", "unit:a", "any", "alert")).await;
    let Ok(Err(whole)) = tokio::time::timeout(LONG, stream.next_policy()).await else { panic!("the whole was due") };
    let generation = whole.generation;
    place.kill();
    place.start();
    let mut stream = host.attach_for_deltas(&place).await;
    let Ok(Err(again)) = tokio::time::timeout(Duration::from_secs(5), stream.next_policy()).await else {
        panic!("the whole was due")
    };
    assert_eq!(again.generation, generation, "the same content has the same number");
    let mut fleet = FleetServiceClient::new(place.admin().await);
    let mode = v1::SetDefenderModeRequest { host: "web".to_owned(), mode: "enforce".to_owned() };
    fleet.set_defender_mode(mode).await.expect("set");
    let Ok(Ok(delta)) = tokio::time::timeout(LONG, stream.next_policy()).await else { panic!("a delta was due") };
    assert_eq!((delta.from, delta.to, delta.mode.as_str()), (generation, generation + 1, "enforce"));
}
