//! Where a store is, and things to put into it.

use std::net::IpAddr;
use std::path::PathBuf;

use cnnf_core::event::{EventKind, EventParty, Process};
use cnnf_core::flow::FlowStats;
use cnnf_core::id::{HostId, ServiceKey};
use cnnf_core::label::Labels;
use cnnf_core::net::Protocol;
use cnnf_core::policy::{Mode, Reason, RuleId, Vantage};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::{Edge, Peer};
use cnnf_store::{Audit, Author, Certificate, Cursor, EdgePatch, Intake, NewEvent, NewHost, NewToken, Store, Subject};

/// A folder with a store in it, which can be shut and opened again.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> (Self, Store) {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        let store = Store::create(&place.path()).expect("a new store");
        (place, store)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("cnnf.db")
    }

    /// After the store was dropped or its process was killed.
    pub(crate) fn reopen(&self) -> Store {
        let store = Store::open(&self.path()).expect("the store opens");
        store.check().expect("the store is whole");
        store
    }
}

pub(crate) fn certificate(serial: &str) -> Certificate {
    Certificate { serial: serial.to_owned(), issuer: "aa".to_owned(), expires: Timestamp(5000) }
}

/// A token without labels.
pub(crate) fn token(hash: &str, expires: u64, uses: u32) -> NewToken {
    let (created, expires) = (Timestamp(1), Timestamp(expires));
    NewToken { secret_hash: hash.to_owned(), created, expires, uses, labels: no_labels() }
}

pub(crate) fn host(id: &str) -> NewHost {
    NewHost {
        id: HostId::new(id),
        name: id.to_owned(),
        labels: "env=prod".parse().expect("labels"),
        mode: Mode::Observe,
        certificate: certificate("01ab"),
    }
}

/// Lets a host in with a token of its own.
pub(crate) fn enrol(store: &Store, id: &str) {
    let hash = format!("token of {id}");
    store.add_token(token(&hash, 1000, 1), audit()).wait().expect("token");
    store.enrol(hash, host(id), Timestamp(10), audit()).wait().expect("store").expect("let in");
}

pub(crate) fn service(key: &str) -> Peer {
    Peer::Service(key.parse().expect("key"))
}

pub(crate) fn edge(client: &str, server: &str, port: u16) -> Edge {
    Edge { client: service(client), server: service(server), protocol: Protocol::Tcp, port }
}

pub(crate) fn stats(connections: u64, first: u64, last: u64) -> FlowStats {
    FlowStats { connections, bytes: connections * 100, first: Timestamp(first), last: Timestamp(last) }
}

/// A report that sets an edge's count to its own number.
pub(crate) fn report(host: &str, epoch: &str, seq: u64) -> Intake {
    Intake {
        host: HostId::new(host),
        cursor: Cursor { epoch: epoch.to_owned(), seq },
        at: Timestamp(100 + seq),
        inventory: None,
        edges: EdgePatch {
            put: vec![(edge("unit:a", "unit:b", 80), stats(seq, 100, 100 + seq))],
            ..EdgePatch::default()
        },
        counted: vec![(edge("unit:a", "unit:b", 80), stats(1, 100, 100 + seq))],
        models: Vec::new(),
        events: Vec::new(),
        hits: Vec::new(),
    }
}

pub(crate) fn party(key: Option<&str>, address: &str, port: u16) -> EventParty {
    EventParty {
        service: key.map(|key| key.parse::<ServiceKey>().expect("key")),
        host: None,
        address: address.parse::<IpAddr>().expect("address"),
        port,
    }
}

pub(crate) fn event(at: u64, pid: u32) -> NewEvent {
    NewEvent {
        kind: EventKind::RuleAlert,
        subject: Subject::Connection {
            client: party(Some("unit:a"), "10.0.0.1", 0),
            server: party(Some("unit:b"), "10.0.0.2", 80),
            protocol: Protocol::Tcp,
            reason: Reason::Rule { id: RuleId(1), name: "watch".to_owned(), revision: 1 },
            side: Vantage::Client,
        },
        process: Some(Process { pid, exe: "/usr/bin/curl".to_owned(), ..Process::default() }),
        count: 1,
        at: Timestamp(at),
    }
}

pub(crate) fn no_labels() -> Labels {
    Labels::default()
}

/// Somebody who changes rules.
pub(crate) fn author() -> Author {
    Author { at: Timestamp(77), who: "admin root".to_owned(), why: "because".to_owned() }
}

/// Somebody's change.
pub(crate) fn audit() -> Audit {
    Audit { at: Timestamp(77), actor: "ann".to_owned(), action: "test".to_owned(), ..Audit::default() }
}
