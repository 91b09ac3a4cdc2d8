//! Every converter of what arrives over the wire or as text, over its corpus and mutations of it: none may panic.
//!
//! The corpora were made from this crate's own values (`convert::tests`), certificates by rcgen.

use std::collections::BTreeMap;

use cnnf_core::event::Notice;
use cnnf_core::flow::FlowRecord;
use cnnf_core::policy::{AddressObject, HostDelta, HostPolicy};
use prost::Message;

use crate::convert::{event, flow, policy};
use crate::{tls, v1};

#[path = "../../../integration/fuzz/mutate.rs"]
mod mutate;
use mutate::fuzz;

#[test]
fn fuzz_policy() {
    fuzz("corpus/policy", |bytes| {
        if let Ok(message) = v1::HostPolicyDelta::decode(bytes)
            && let Ok(delta) = HostDelta::try_from(message)
        {
            let _ = delta.apply(&HostPolicy::default());
        }
        if let Ok(message) = v1::HostPolicy::decode(bytes) {
            let _ = HostPolicy::try_from(message);
        }
    });
}

#[test]
fn fuzz_rules() {
    let nobody = |name: &str| Err(policy::NameError::Unknown(name.to_owned()));
    fuzz("corpus/rules", |bytes| {
        if let Ok(message) = v1::Rule::decode(bytes) {
            let _ = policy::rule(message, &BTreeMap::new(), &nobody);
        }
        if let Ok(message) = v1::AddressObject::decode(bytes) {
            let _ = AddressObject::try_from(message);
        }
    });
}

#[test]
fn fuzz_reports() {
    fuzz("corpus/reports", |bytes| {
        use v1::report::Body;
        match v1::Report::decode(bytes).ok().and_then(|report| report.body) {
            Some(Body::Flows(flows)) => drop(flow::flows(flows)),
            Some(Body::Events(events)) => drop(event::events(events)),
            Some(Body::Inventory(inventory)) => drop(flow::Inventory::try_from(inventory)),
            Some(Body::Gap(gap)) => drop(flow::Gap::try_from(gap)),
            Some(Body::Hits(hits)) => drop(flow::hits(hits)),
            Some(Body::Notice(notice)) => drop(Notice::try_from(notice)),
            None => {}
        }
        if let Ok(record) = v1::FlowRecord::decode(bytes) {
            let _ = FlowRecord::try_from(record);
        }
    });
}

#[test]
fn fuzz_certificates() {
    fuzz("corpus/certificates", |bytes| {
        let _ = (tls::PeerIdentity::from_certificate(bytes), tls::serial(bytes));
        let text = String::from_utf8_lossy(bytes);
        let _ = tls::PeerIdentity::from_uri(&text);
    });
}

#[test]
fn fuzz_tokens() {
    fuzz("corpus/tokens", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(token) = text.parse::<tls::Token>() {
            assert_eq!(token.to_string().parse::<tls::Token>().ok(), Some(token));
        }
    });
}
