//! Many defenders of one process, each with a stream of its own: they come back all at once, report, and get a rule.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::policy_service_client::PolicyServiceClient;
use cnnf_rpc::v1::report::Body;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::place::{Defender, Place, flow, inventory, rule};

/// Hosts that enrol at the same time.
const AT_ONCE: usize = 16;
/// A defender waits for a random part of this before its first attempt, and for twice as much after each failure, up to the longest.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(15);
/// Connections that a report counts.
const RECORDS: usize = 100;

/// What a host's stream brought, and when.
enum Heard {
    /// So many rules are in its policy.
    Policy(usize),
    /// Reports up to this one are durable.
    Acknowledged(u64),
    /// The stream has ended.
    End,
}

/// The hosts, each with the sending side of its stream.
pub(crate) struct Herd {
    hosts: Vec<Defender>,
    up: Vec<Option<mpsc::Sender<v1::DefenderMessage>>>,
    /// The newest report of each that was sent,
    seqs: Vec<u64>,
    /// and that is durable.
    durable: Vec<u64>,
    heard: mpsc::UnboundedReceiver<(usize, Instant, Heard)>,
}

/// How a number of like things went.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// The time that this part of them took at most; 1.0 for the slowest.
    pub(crate) fn at(&mut self, part: f64) -> Duration {
        self.0.sort();
        let last = self.0.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (last as f64 * part).round() as usize;
        self.0.get(index).copied().unwrap_or_default()
    }
}

impl Herd {
    /// So many enrolled hosts.
    pub(crate) async fn enrol(place: &Place, count: usize) -> Self {
        let token = place.token(3600, u32::try_from(count).expect("small")).await;
        let mut hosts = Vec::new();
        while hosts.len() < count {
            let first = hosts.len();
            let next = (first..count.min(first + AT_ONCE)).map(|n| {
                let token = &token;
                async move { place.enrol_with(token, &format!("host-{n}")).await.expect("let in") }
            });
            hosts.extend(join_all(next).await);
        }
        // Nobody tells anything yet.
        let heard = mpsc::unbounded_channel().1;
        Self { up: hosts.iter().map(|_| None).collect(), seqs: vec![0; count], durable: vec![0; count], hosts, heard }
    }

    /// Connects all anew, as defenders do that have lost their stream; how long that took, and how many attempts failed.
    pub(crate) async fn connect(&mut self, place: &Place) -> (Duration, usize) {
        let begin = Instant::now();
        // What streams said that are gone counts no more.
        let (tell, heard) = mpsc::unbounded_channel();
        self.heard = heard;
        let attempts = self.hosts.iter().enumerate().map(|(n, host)| async move {
            let mut failures = 0u32;
            loop {
                let most = BACK_OFF_FIRST.saturating_mul(1 << failures.min(10)).min(BACK_OFF_MAX);
                tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
                match host.try_attach(place).await {
                    Some(stream) => return (n, stream, failures as usize),
                    None => failures += 1,
                }
            }
        });
        let mut failed = 0;
        for (n, stream, failures) in join_all(attempts).await {
            failed += failures;
            let (up, mut down) = stream.split();
            self.up[n] = Some(up);
            let tell = tell.clone();
            tokio::spawn(async move {
                loop {
                    let heard = match down.message().await {
                        Ok(Some(message)) => match message.body {
                            Some(Down::Policy(policy)) => Heard::Policy(policy.egress.len() + policy.ingress.len()),
                            Some(Down::Acknowledged(answer)) => Heard::Acknowledged(answer.seq),
                            _ => continue,
                        },
                        Ok(None) | Err(_) => Heard::End,
                    };
                    let end = matches!(heard, Heard::End);
                    if tell.send((n, Instant::now(), heard)).is_err() || end {
                        return;
                    }
                }
            });
        }
        (begin.elapsed(), failed)
    }

    /// Each host tells what it runs: a client of its own address.
    pub(crate) async fn introduce(&mut self) {
        for n in 0..self.hosts.len() {
            let address = address(n);
            self.report(n, inventory(&address, &[("unit:client", 0), ("unit:server", 80)])).await;
        }
        self.acknowledged(Duration::from_secs(60)).await;
    }

    async fn report(&mut self, n: usize, body: Body) {
        self.seqs[n] += 1;
        let report = v1::Report { seq: self.seqs[n], body: Some(body) };
        let up = self.up[n].as_ref().expect("connected");
        up.send(v1::DefenderMessage { body: Some(Up::Report(report)) }).await.expect("the stream is open");
    }

    /// Waits until everything sent is durable; how long from now each host's newest report took that was not yet.
    async fn acknowledged(&mut self, patience: Duration) -> Spread {
        let begin = Instant::now();
        let mut spread = Spread::default();
        while self.durable != self.seqs {
            let next = tokio::time::timeout(patience.saturating_sub(begin.elapsed()), self.heard.recv());
            let (n, at, heard) = next.await.expect("in time").expect("hosts");
            match heard {
                Heard::Acknowledged(seq) => {
                    self.durable[n] = seq;
                    if seq == self.seqs[n] {
                        spread.0.push(at.saturating_duration_since(begin));
                    }
                }
                Heard::End => panic!("host {n} has lost its stream"),
                _ => {}
            }
        }
        spread
    }

    /// All hosts together send so many flow records a second for a time; how far behind the last acknowledgements were.
    pub(crate) async fn load(&mut self, records: usize, time: Duration) -> Spread {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let every = Duration::from_secs(1).mul_f64(RECORDS as f64 / records as f64);
        let begin = Instant::now();
        let mut ticks = tokio::time::interval(every);
        let mut n = 0;
        while begin.elapsed() < time {
            ticks.tick().await;
            let host = n % self.hosts.len();
            let to = format!("10.200.{}.{}", n / 250 % 250, n % 250 + 1);
            let Body::Flows(one) = flow("unit:client", &address(host), &to, 443) else { return Spread::default() };
            let flows = (0..RECORDS)
                .map(|port| v1::FlowRecord { port: 1 + u32::try_from(port).unwrap_or(0), ..one.flows[0].clone() });
            self.report(host, Body::Flows(v1::FlowReport { flows: flows.collect() })).await;
            n += 1;
        }
        self.acknowledged(Duration::from_secs(60)).await
    }

    /// How long a new rule takes to each host.
    pub(crate) async fn rule(&mut self, place: &Place) -> Spread {
        let mut client = PolicyServiceClient::new(place.admin().await);
        while self.heard.try_recv().is_ok() {}
        let new = v1::AddRuleRequest { rule: Some(rule("watch", "unit:client", "any", "alert")), ..Default::default() };
        let begin = Instant::now();
        client.add_rule(new).await.expect("added");
        let mut spread = Spread::default();
        let mut missing: HashSet<usize> = (0..self.hosts.len()).collect();
        while !missing.is_empty() {
            let next = tokio::time::timeout(Duration::from_secs(60), self.heard.recv()).await;
            let (n, at, heard) = next.expect("in time").expect("hosts");
            if matches!(heard, Heard::Policy(entries) if entries > 0) && missing.remove(&n) {
                spread.0.push(at.saturating_duration_since(begin));
            }
        }
        spread
    }
}

fn address(n: usize) -> String {
    format!("10.{}.{}.{}", 100 + n / 62_500, n / 250 % 250, n % 250 + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_defenders_come_back_report_and_get_a_rule() {
    let mut place = Place::new();
    let mut herd = Herd::enrol(&place, 200).await;
    herd.connect(&place).await;
    herd.introduce().await;
    place.kill();
    place.start();
    let (back, failed) = herd.connect(&place).await;
    let mut acknowledged = herd.load(2_000, Duration::from_secs(3)).await;
    let mut rule = herd.rule(&place).await;
    println!(
        "200 defenders are back {back:?} after a restart, {failed} attempts failed; the last reports were durable after {:?}; a rule \
         reached all in {:?}",
        acknowledged.at(1.0),
        rule.at(1.0)
    );
    assert!(back < Duration::from_secs(30), "{back:?}");
    assert_eq!(failed, 0);
    assert!(rule.at(0.99) < Duration::from_secs(2), "{:?}", rule.at(0.99));
}
