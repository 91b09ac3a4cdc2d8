//! Everything that comes in over the API and the web port, made up by a seeded generator: no panic, no error of ours (`INTERNAL`, 500), and bounded
//! memory. A run takes as long as `FUZZ_ROUNDS` says: 5,000 a second, so that the usual 50,000 are ten seconds.

#[path = "../../../integration/fuzz/mutate.rs"]
mod mutate;

mod api;
mod http;
mod message;

use std::sync::Arc;
use std::time::Duration;

use cnnf_core::access::Role;
use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::report::Body;
use cnnf_store::{ApiTokenRow, Kept, SessionRow, UserRow};

use crate::clock::now;
use crate::controller::Controller;
use crate::people::secret_hash;
use crate::simulation::Simulated;

/// The host that there is.
const HOST: &str = "h-1";

/// Megabytes that this process may ever have had: the world is small, and so is what one may add to it in a run.
const MEMORY: u64 = 512;

/// A controller with a host, two services, an edge, a rule, and somebody of each role: tokens and sessions are called as their roles.
fn world() -> (tempfile::TempDir, Arc<Controller>) {
    let folder = tempfile::tempdir().expect("folder");
    let simulated = Simulated::create(folder.path(), now());
    let host = simulated.enrol(HOST, "env=prod", now());
    let hello = v1::Hello { spool_epoch: "e".to_owned(), host_name: HOST.to_owned(), ..v1::Hello::default() };
    let mut stream = simulated.attach(&host, hello, now()).expect("attached");
    let instance = |service: &str, port| v1::InstanceReport {
        service: service.to_owned(),
        endpoints: vec![v1::Endpoint { protocol: "tcp".to_owned(), address: String::new(), port }],
        live: true,
        natural: Vec::new(),
    };
    let instances = vec![instance("unit:a", 80), instance("unit:b", 81)];
    let addresses = vec!["10.0.0.1".to_owned()];
    let inventory = v1::Inventory { addresses, instances, ..v1::Inventory::default() };
    let flow = v1::FlowRecord {
        client_service: "unit:a".to_owned(),
        client_address: "10.0.0.1".to_owned(),
        server_service: "unit:b".to_owned(),
        server_address: "10.0.0.1".to_owned(),
        protocol: "tcp".to_owned(),
        port: 81,
        connections: 1,
        ..v1::FlowRecord::default()
    };
    let bodies = [Body::Inventory(inventory), Body::Flows(v1::FlowReport { flows: vec![flow] })];
    for (seq, body) in (1..).zip(bodies) {
        let message = v1::DefenderMessage { body: Some(Up::Report(v1::Report { seq, body: Some(body) })) };
        simulated.hear(&mut stream, message, now()).expect("taken in");
    }
    let rule = v1::Rule {
        name: "watch".to_owned(),
        enabled: true,
        from: "unit:a".to_owned(),
        to: "any".to_owned(),
        effect: "alert".to_owned(),
        ..v1::Rule::default()
    };
    simulated.set_rules(vec![rule], now()).expect("a rule");
    let controller = simulated.controller();
    for role in Role::ALL {
        somebody(&controller, *role);
    }
    (folder, controller)
}

fn somebody(controller: &Controller, role: Role) {
    let (name, at) = (role.to_string(), now());
    let user = UserRow {
        name: name.clone(),
        role,
        password: String::new(),
        must_change: false,
        disabled: false,
        created: at,
        last_sign_in: None,
    };
    let hash = secret_hash(&name);
    let session = SessionRow { secret_hash: hash.clone(), user: name.clone(), created: at, last_used: at };
    let token = ApiTokenRow {
        name: name.clone(),
        secret_hash: hash.clone(),
        role,
        created_by: name.clone(),
        created: at,
        expires: at.plus(Duration::from_secs(24 * 3600)),
        last_used: None,
    };
    controller.store.put_user(user.clone(), Kept::All, cnnf_store::Audit::default()).wait().expect("stored");
    controller.store.add_session(session.clone(), cnnf_store::Audit::default()).wait().expect("stored");
    let mut known = controller.people.known();
    known.users.insert(name, user);
    known.sessions.insert(hash.clone(), session);
    known.tokens.insert(hash, token);
}

/// How long to go on.
fn time() -> Duration {
    Duration::from_millis(mutate::number("FUZZ_ROUNDS", 50_000) / 5)
}

/// Fails if this process has ever had more memory than it may.
fn check_memory() {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let peak: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak / 1024 < MEMORY, "{} MB", peak / 1024);
}
