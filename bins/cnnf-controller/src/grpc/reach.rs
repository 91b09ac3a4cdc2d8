//! How far a service may reach.

use cnnf_core::policy::{Count, Reason, Target, Way, reach};
use cnnf_rpc::convert::common::{time_range, time_text};
use cnnf_rpc::v1;
use tonic::Status;

use super::page::page;
use super::recorded::Recorded;
use super::{Api, failsafes};
use crate::clock::now;
use crate::state::Snapshot;

impl Api {
    /// By policy, against what was seen.
    pub(super) async fn reach(&self, wanted: v1::GetReachRequest) -> Result<v1::Reach, Status> {
        let (since, until) = time_range("time", wanted.time.as_ref())?;
        let key = self.0.snapshot().service("service", &wanted.service)?;
        let work = move |controller: &crate::controller::Controller| {
            let Snapshot { policy, directory, topology } = controller.snapshot();
            let at = now();
            let recorded = Recorded::of(controller, topology, since, until, at)?;
            let found = reach(&key, &policy, &directory, &failsafes(), recorded.edges(), at);
            let (targets, next_token) = page(found.targets, wanted.page.as_ref())?;
            let model = policy.models.get(&key).filter(|_| !policy.learning_off);
            Ok(v1::Reach {
                service: key.to_string(),
                phase: model.map(|model| model.phase.to_string()).unwrap_or_default(),
                services: Some(count(found.services)),
                ports: Some(count(found.ports)),
                targets: targets.into_iter().map(target).collect(),
                cut_short: found.cut_short,
                next_token,
            })
        };
        self.0.aside(work).await
    }
}

fn count(Count { all, may, seen, unused }: Count) -> v1::ReachCount {
    v1::ReachCount { all, may, seen, unused }
}

fn target(target: Target) -> v1::ReachTarget {
    v1::ReachTarget {
        peer: Some((&target.peer).into()),
        standing: target.standing.to_string(),
        ways: target.ways.into_iter().map(way).collect(),
    }
}

fn way(way: Way) -> v1::ReachWay {
    let (rule, model) = match way.reason {
        Reason::Rule { name, .. } => (name, String::new()),
        Reason::Model(key) => (String::new(), key.to_string()),
        Reason::OtherSide | Reason::Default => (String::new(), String::new()),
    };
    let seen = way.seen.into_iter().map(|((protocol, port), stats)| v1::ReachSeen {
        protocol: protocol.to_string(),
        port: port.into(),
        connections: stats.connections,
        first_seen: time_text(stats.first),
        last_seen: time_text(stats.last),
    });
    v1::ReachWay {
        ports: way.ports.to_texts(),
        effect: way.effect.to_string(),
        rule,
        model,
        failsafe: way.failsafe,
        refused: way.refused,
        partly: way.partly,
        listening: way.listening.into_iter().map(|(protocol, port)| format!("{protocol}/{port}")).collect(),
        seen: seen.collect(),
    }
}
