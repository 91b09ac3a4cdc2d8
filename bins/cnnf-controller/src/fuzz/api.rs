//! Every call of every service by everybody.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnnf_core::id::HostId;
use cnnf_rpc::tls::{PeerConnection, PeerIdentity};
use cnnf_rpc::v1::defender_service_server::DefenderServiceServer;
use cnnf_rpc::v1::enrollment_service_server::EnrollmentServiceServer;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::Request;
use tower::{Layer as _, ServiceExt as _};

use super::message::encoded;
use super::mutate::{Random, number};
use super::{HOST, check_memory, time, world};
use crate::auth::{Guard, Guarded};
use crate::grpc::{Api, for_people};

/// Calls until there is a new world.
const LIFE: usize = 2_000;
/// A stream that says nothing for so long is left.
const SILENT: Duration = Duration::from_millis(3);

type Calls = Guarded<tonic::service::Routes>;

/// Who calls: nobody, roles by their tokens, an administrator's certificate, a host.
const CALLERS: [&str; 6] = ["", "auditor", "operator", "admin", "certificate", "host"];

fn request(random: &mut Random, method: &MethodDescriptor, caller: &str) -> (Request<Body>, bool) {
    let (mut body, mut damaged) = (Vec::new(), false);
    let messages = if method.is_client_streaming() { random.below(5) } else { 1 };
    for _ in 0..messages {
        let (message, bad) = encoded(random, &method.input());
        damaged |= bad;
        body.push(0);
        body.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
        body.extend(message);
    }
    if random.below(50) == 0 {
        body.truncate(random.below(body.len()));
        damaged = true;
    }
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut request = Request::post(format!("http://c.example{path}")).header("content-type", "application/grpc");
    let identity = match caller {
        "certificate" => PeerIdentity::Admin("root".to_owned()),
        "host" => PeerIdentity::Defender(HostId::new(HOST)),
        "" => PeerIdentity::Anonymous,
        role => {
            request = request.header("authorization", format!("Bearer {role}"));
            PeerIdentity::Anonymous
        }
    };
    let mut request = request.body(Body::new(Full::new(Bytes::from(body)))).expect("a request");
    request.extensions_mut().insert(PeerConnection { address: ([10, 0, 0, 9], 1).into(), identity, serial: None });
    (request, damaged)
}

/// The status of a call, and its message; of a stream that goes on, `Ok`.
async fn call(calls: Calls, request: Request<Body>) -> (Code, String) {
    let answer = match calls.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let status = |headers: &tonic::codegen::http::HeaderMap| {
        tonic::Status::from_header_map(headers).map(|status| (status.code(), status.message().to_owned()))
    };
    if let Some(status) = status(answer.headers()) {
        return status;
    }
    let mut body = answer.into_body();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENT, body.frame()).await {
        if let Some(status) = frame.trailers_ref().and_then(status) {
            return status;
        }
    }
    (Code::Ok, String::new())
}

/// How often which call had which code.
type Seen = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn fuzz_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pool = DescriptorPool::decode(cnnf_rpc::DESCRIPTORS).expect("descriptors");
    let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let seed = number("FUZZ_SEED", 1);
    let (mut random, mut seen) = (Random::new(seed), Seen::new());
    let (begin, mut rounds) = (Instant::now(), 0);
    while begin.elapsed() < time() {
        // Now and then anew: a call may have deleted the host, and what there is grows.
        live(&runtime, &methods, &mut random, &mut seen, &format!("life {rounds} of seed {seed}"));
        rounds += LIFE;
    }
    check_memory();
    if number("FUZZ_SHOW", 0) > 0 {
        println!("{seen:#?}");
    }
    let good = seen.values().filter(|codes| codes.contains_key("Ok")).count();
    println!(
        "{rounds} calls in {:?}; {good} of {} calls have had an answer that is no error",
        begin.elapsed(),
        methods.len()
    );
    // A fuzzer that gets nowhere finds nothing.
    let in_at = |codes: &&BTreeMap<String, u64>| {
        codes.keys().any(|code| !matches!(&**code, "Unauthenticated" | "PermissionDenied"))
    };
    assert_eq!(seen.values().filter(in_at).count(), methods.len(), "{seen:#?}");
}

/// A world's life of [`LIFE`] calls.
fn live(runtime: &Runtime, methods: &[MethodDescriptor], random: &mut Random, seen: &mut Seen, what: &str) {
    let (_folder, controller) = world();
    let api = Api(Arc::clone(&controller));
    let mut services = for_people(&api);
    services.add_service(EnrollmentServiceServer::new(api.clone())).add_service(DefenderServiceServer::new(api));
    let calls = Guard(Arc::clone(&controller)).layer(services.routes());
    for round in 0..LIFE {
        // Each in its turn, so that none is left out of a short run.
        let (method, caller) = (&methods[round % methods.len()], CALLERS[random.below(CALLERS.len())]);
        let what = format!("{what}, round {round}: {} by '{caller}'", method.full_name());
        let (request, damaged) = request(random, method, caller);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let guarded = async { tokio::time::timeout(Duration::from_secs(20), call(calls.clone(), request)).await };
            runtime.block_on(guarded)
        }));
        let (code, text) = match answer {
            Ok(answer) => answer.unwrap_or_else(|_| panic!("{what}: no answer")),
            Err(panic) => {
                eprintln!("{what}: panics");
                std::panic::resume_unwind(panic);
            }
        };
        // What tonic says of bytes that are no message.
        let no_message = damaged && code == Code::Internal;
        let ours = matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
        assert!(no_message || !ours, "{what}: {code:?} {text}");
        *seen.entry(method.full_name().to_owned()).or_default().entry(format!("{code:?}")).or_default() += 1;
    }
    controller.store.check().expect("whole");
    assert_eq!(controller.store.check_audit().expect("read").bad, None);
}
