//! The controller is killed again and again while hosts report and an operator changes rules: what was acknowledged is there, once.

use std::time::Duration;

use cnnf_rpc::v1;
use cnnf_rpc::v1::fleet_service_client::FleetServiceClient;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::topology_service_client::TopologyServiceClient;
use cnnf_store::Store;
use futures_util::future::join_all;
use tonic::transport::Channel;

use crate::place::{Defender, Place, flow, rule};

const HOSTS: usize = 4;
/// Reports on their way at most.
const AHEAD: u64 = 30;

/// How often it is killed.
fn kills() -> u32 {
    std::env::var("CNNF_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// A host with what it knows to be durable.
struct Host {
    defender: Defender,
    service: String,
    acknowledged: u64,
}

impl Host {
    /// Reports one connection after the other, from the first that was not acknowledged, as a spool does, until the stream breaks.
    async fn report(&mut self, place: &Place) {
        let Some(mut stream) = self.defender.try_attach(place).await else { return };
        let mut sent = self.acknowledged;
        loop {
            while sent < self.acknowledged + AHEAD {
                sent += 1;
                let one = flow(&self.service, "10.9.0.1", "10.9.9.9", 80);
                if stream.try_report(sent, one).await.is_err() {
                    return;
                }
            }
            if stream.try_acknowledged(self.acknowledged + 1).await.is_err() {
                return;
            }
            self.acknowledged += 1;
        }
    }
}

/// Rules that an operator knows to be there.
#[derive(Default)]
struct Operator {
    rules: Vec<String>,
    /// Neither acknowledged nor refused.
    open: Option<String>,
    made: u32,
}

impl Operator {
    /// Adds rules until the controller is gone.
    async fn add(&mut self, channel: Channel) {
        let mut client = PolicyServiceClient::new(channel);
        loop {
            self.made += 1;
            let name = format!("rule {}", self.made);
            self.open = Some(name.clone());
            let new =
                v1::AddRuleRequest { rule: Some(rule(&name, "unit:client", "any", "alert")), ..Default::default() };
            match client.add_rule(new).await {
                Ok(_) => self.rules.extend(self.open.take()),
                Err(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes what is there for what is acknowledged; nothing may be missing and nothing be there that nobody asked for.
    fn compare(&mut self, found: Vec<String>, round: u32) {
        let mut with_open = self.rules.clone();
        with_open.extend(self.open.take());
        assert!(found == self.rules || found == with_open, "round {round}: {found:?} instead of {:?}", self.rules);
        self.rules = found;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_after_every_kill() {
    let mut place = Place::new();
    let mut hosts = Vec::new();
    for n in 0..HOSTS {
        let defender = place.enrol(&format!("host-{n}")).await;
        hosts.push(Host { defender, service: format!("unit:client-{n}"), acknowledged: 0 });
    }
    let mut operator = Operator::default();
    let kills = kills();
    for round in 0..kills {
        let admin = place.admin().await;
        let work = async {
            let reports = join_all(hosts.iter_mut().map(|host| host.report(&place)));
            tokio::join!(reports, operator.add(admin));
        };
        // Not at the same moment of its work each time.
        let wait = Duration::from_millis(20 + u64::from(round) * 7 % 150);
        let pid = place.pid();
        let kill = async {
            tokio::time::sleep(wait).await;
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        };
        tokio::join!(work, kill);
        place.kill();
        place.start();

        let channel = place.admin().await;
        let rules =
            PolicyServiceClient::new(channel.clone()).list_rules(v1::ListRulesRequest::default()).await.expect("rules");
        operator.compare(rules.into_inner().rules.into_iter().map(|rule| rule.name).collect(), round);
        let edges = TopologyServiceClient::new(channel.clone()).list_edges(v1::ListEdgesRequest::default()).await;
        let edges = edges.expect("edges").into_inner().edges;
        for host in &hosts {
            let of =
                |edge: &&v1::ObservedEdge| edge.client.as_ref().is_some_and(|client| client.service == host.service);
            let counted = edges.iter().find(of).map_or(0, |edge| edge.connections);
            let expected = host.acknowledged..=host.acknowledged + AHEAD;
            assert!(expected.contains(&counted), "round {round}: {counted} counted of {}", host.acknowledged);
        }
        let known = FleetServiceClient::new(channel).list_defenders(v1::ListDefendersRequest::default()).await;
        assert_eq!(known.expect("hosts").into_inner().defenders.len(), HOSTS);
    }
    // The rest of each host's reports arrives, and each has counted once however often it was sent.
    let total: u64 = hosts.iter().map(|host| host.acknowledged).sum();
    for host in &mut hosts {
        let mut stream = host.defender.attach(&place).await;
        let last = host.acknowledged + AHEAD;
        for seq in host.acknowledged + 1..=last {
            stream.deliver(seq, flow(&host.service, "10.9.0.1", "10.9.9.9", 80)).await;
        }
        let mut topology = TopologyServiceClient::new(place.admin().await);
        let ask = v1::ListEdgesRequest { from: host.service.clone(), ..Default::default() };
        let edges = topology.list_edges(ask).await.expect("edges").into_inner().edges;
        assert_eq!(edges[0].connections, last);
    }
    let data = place.path();
    place.kill();
    Store::open(&data.join("cnnf.db")).expect("opens").check().expect("the database is whole");
    println!("{kills} kills: {total} reports and {} rules acknowledged, none lost, none doubled", operator.rules.len());
    assert!(total > u64::from(kills) && !operator.rules.is_empty(), "there was hardly any load");
}
