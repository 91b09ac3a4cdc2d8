//! How many live connections a draft would cut: the hosts that have them say it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cnnf_core::id::HostId;
use cnnf_core::policy::{HostPolicy, PolicySet, Resolver};
use cnnf_core::topology::Edge;
use cnnf_rpc::convert;
use cnnf_rpc::v1;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::super::Api;
use crate::clock::now;
use crate::controller::Controller;

/// How long a host may take for its answer: a list of 100,000 connections takes less than a second.
const ANSWER: Duration = Duration::from_secs(4);
/// How long all hosts together may take.
const ANSWERS: Duration = Duration::from_secs(10);
/// Hosts that are asked at a time, so that a large fleet's policies do not stand in queues all at once.
const AT_ONCE: usize = 64;
/// Hosts and edges that are listed at most.
const MAX_LISTED: usize = 1_000;

impl Api {
    /// Asks every host whose policy the draft changes.
    pub(super) async fn live_cut(&self, draft: PolicySet) -> Result<v1::LiveCut, Status> {
        let (unchanged, asked) = self.0.aside(move |controller| Ok(concerned(controller, &draft))).await?;
        let deadline = Instant::now() + ANSWERS;
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for (host, policy) in asked {
            let (controller, places) = (Arc::clone(&self.0), Arc::clone(&places));
            asking.spawn(async move {
                let answer = async {
                    let _place = places.acquire().await;
                    ask(&controller, &host, policy).await
                };
                let late = || Err(format!("it was not heard of within {} s", ANSWERS.as_secs()));
                let answer = timeout_at(deadline, answer).await.unwrap_or_else(|_| late());
                (host, answer)
            });
        }
        let mut cut = v1::LiveCut { hosts: unchanged, ..v1::LiveCut::default() };
        let mut by_edge: BTreeMap<(HostId, Edge), u64> = BTreeMap::new();
        while let Some(answered) = asking.join_next().await {
            let (host, answer) = answered.map_err(|error| Status::internal(error.to_string()))?;
            let state = self.0.state();
            match answer.and_then(read) {
                Ok((connections, records)) => {
                    cut.hosts += 1;
                    cut.connections = cut.connections.saturating_add(connections);
                    for record in records {
                        let edge = Edge::of(&record.key, &state.directory, &state.policy.objects);
                        *by_edge.entry((host.clone(), edge)).or_default() += record.stats.connections;
                    }
                }
                Err(why) => cut.silent.push(v1::SilentHost { host: state.host_name(&host), why }),
            }
        }
        cut.silent.sort_by(|a, b| a.host.cmp(&b.host));
        let mut by_edge: Vec<_> = by_edge.into_iter().collect();
        by_edge.sort_by_key(|(_, connections)| std::cmp::Reverse(*connections));
        let state = self.0.state();
        cut.cuts = by_edge
            .into_iter()
            .take(MAX_LISTED)
            .map(|((host, edge), connections)| v1::HostCut {
                host: state.host_name(&host),
                edge: Some((&edge).into()),
                connections,
            })
            .collect();
        Ok(cut)
    }
}

/// How many hosts the draft does not concern, and the policies of the others. Blocks.
fn concerned(controller: &Controller, draft: &PolicySet) -> (u32, Vec<(HostId, HostPolicy)>) {
    let (directory, hosts) = {
        let state = controller.state();
        let hosts: Vec<_> = state
            .hosts
            .iter()
            .filter(|(_, known)| !known.row.revoked)
            .map(|(id, known)| (id.clone(), known.desired.policy.clone()))
            .collect();
        (Arc::clone(&state.directory), hosts)
    };
    let resolver = Resolver::new(draft, &directory);
    let mut unchanged = 0;
    let mut asked = Vec::new();
    for (host, present) in hosts {
        let generation = present.as_ref().map_or(0, |present| present.generation);
        let policy = resolver.resolve(&host, now(), generation);
        if present.is_some_and(|present| *present == policy) {
            unchanged += 1;
        } else {
            asked.push((host, policy));
        }
    }
    (unchanged, asked)
}

/// Asks one host.
async fn ask(controller: &Controller, host: &HostId, policy: HostPolicy) -> Result<v1::PreviewAnswer, String> {
    let number = rand::random();
    let (answer, answered) = oneshot::channel();
    {
        let mut state = controller.state();
        let live = state.hosts.get_mut(host).and_then(|known| known.live.as_mut());
        let live = live.ok_or("it is not connected")?;
        if live.questions.is_closed() {
            return Err("its defender is too old to say".into());
        }
        // those whom nobody waits for any more
        live.asked.retain(|_, waiting| !waiting.is_closed());
        let question = v1::Preview { number, policy: Some((&policy).into()) };
        live.questions.try_send(question).map_err(|_| "it has not taken earlier questions yet: ask again")?;
        live.asked.insert(number, answer);
    }
    match tokio::time::timeout(ANSWER, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("its stream has ended: ask again".into()),
        Err(_) => Err(format!("it did not answer within {} s", ANSWER.as_secs())),
    }
}

/// What a host has said: how many in all, and of which ends.
fn read(answer: v1::PreviewAnswer) -> Result<(u64, Vec<cnnf_core::flow::FlowRecord>), String> {
    if !answer.error.is_empty() {
        return Err(convert::common::text("error", answer.error).unwrap_or_else(|error| error.to_string()));
    }
    let records = convert::flow::flows(v1::FlowReport { flows: answer.cut });
    Ok((answer.connections, records.map_err(|error| format!("its answer cannot be read: {error}"))?))
}
