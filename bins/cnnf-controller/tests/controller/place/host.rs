//! An enrolled host, its stream, and what it says on it.

use cnnf_rpc::tls::{self, ClientTls};
use cnnf_rpc::v1;
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::defender_service_client::DefenderServiceClient;
use cnnf_rpc::v1::report::Body;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{PATIENCE, Place, now_ms};

/// A defender's version, and the name of its spool.
const USUAL: (&str, &str) = ("1.2.3", "epoch");

/// An enrolled host.
pub(crate) struct Defender {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tls: ClientTls,
}

impl Defender {
    pub(crate) async fn channel(&self, place: &Place) -> Channel {
        tls::connect(&place.grpc.to_string(), &self.tls).await.expect("the defender gets in")
    }

    pub(crate) async fn attach(&self, place: &Place) -> Stream {
        self.attach_having(place, 0).await
    }

    /// A stream of a host that has this generation.
    pub(crate) async fn attach_having(&self, place: &Place, generation: u64) -> Stream {
        self.begin(self.channel(place).await, USUAL, generation, false).await.expect("attached")
    }

    /// A stream of a defender of this version.
    pub(crate) async fn attach_as(&self, place: &Place, version: &str) -> Stream {
        self.begin(self.channel(place).await, (version, USUAL.1), 0, false).await.expect("attached")
    }

    /// A stream of a host whose spool is called so.
    pub(crate) async fn attach_with_spool(&self, place: &Place, epoch: &str) -> Stream {
        self.begin(self.channel(place).await, (USUAL.0, epoch), 0, false).await.expect("attached")
    }

    /// A stream of a host that applies deltas and answers questions.
    pub(crate) async fn attach_for_deltas(&self, place: &Place) -> Stream {
        self.begin(self.channel(place).await, USUAL, 0, true).await.expect("attached")
    }

    /// A stream, unless the controller is gone.
    pub(crate) async fn try_attach(&self, place: &Place) -> Option<Stream> {
        let channel = tls::connect(&place.grpc.to_string(), &self.tls).await.ok()?;
        self.begin(channel, USUAL, 0, false).await.ok()
    }

    async fn begin(
        &self,
        channel: Channel,
        (version, epoch): (&str, &str),
        generation: u64,
        takes_deltas: bool,
    ) -> Result<Stream, Status> {
        let (up, receiver) = mpsc::channel(64);
        let hello = v1::Hello {
            version: version.to_owned(),
            host_name: self.name.clone(),
            spool_epoch: epoch.to_owned(),
            generation,
            labels: [("env".to_owned(), "test".to_owned())].into(),
            now_ms: now_ms(),
            takes_deltas,
            takes_previews: takes_deltas,
            ..v1::Hello::default()
        };
        up.send(v1::DefenderMessage { body: Some(Up::Hello(hello)) }).await.expect("room");
        let mut client = DefenderServiceClient::new(channel);
        let down = client.attach(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Stream { up, down })
    }
}

/// A defender's stream.
pub(crate) struct Stream {
    up: mpsc::Sender<v1::DefenderMessage>,
    pub(crate) down: Streaming<v1::ControllerMessage>,
}

impl Stream {
    /// Its two directions.
    pub(crate) fn split(self) -> (mpsc::Sender<v1::DefenderMessage>, Streaming<v1::ControllerMessage>) {
        (self.up, self.down)
    }

    pub(crate) async fn say(&self, body: Up) {
        self.up.send(v1::DefenderMessage { body: Some(body) }).await.expect("the stream is open");
    }

    pub(crate) async fn report(&self, seq: u64, body: Body) {
        self.say(Up::Report(v1::Report { seq, body: Some(body) })).await;
    }

    /// As [`Stream::report`], of a stream that may end.
    pub(crate) async fn try_report(&self, seq: u64, body: Body) -> Result<(), ()> {
        let report = v1::Report { seq, body: Some(body) };
        self.up.send(v1::DefenderMessage { body: Some(Up::Report(report)) }).await.map_err(drop)
    }

    /// As [`Stream::acknowledged`], of a stream that may end.
    pub(crate) async fn try_acknowledged(&mut self, seq: u64) -> Result<(), Status> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.down.message()).await.expect("in time")?;
            match message.and_then(|message| message.body) {
                Some(Down::Acknowledged(answer)) if answer.seq >= seq => return Ok(()),
                Some(_) => {}
                None => return Err(Status::unavailable("the stream has ended")),
            }
        }
    }

    /// The next question.
    pub(crate) async fn question(&mut self) -> v1::Preview {
        loop {
            if let Down::Preview(question) = self.next().await {
                return question;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Down {
        let message = tokio::time::timeout(PATIENCE, self.down.message()).await.expect("in time");
        message.expect("no error").expect("not the end").body.expect("a body")
    }

    /// The next policy; acknowledgements are passed over.
    pub(crate) async fn policy(&mut self) -> v1::HostPolicy {
        loop {
            if let Down::Policy(policy) = self.next().await {
                return policy;
            }
        }
    }

    /// What comes next of the policy: a change, or the whole. May be dropped at any await.
    pub(crate) async fn next_policy(&mut self) -> Result<v1::HostPolicyDelta, v1::HostPolicy> {
        loop {
            match self.next().await {
                Down::PolicyDelta(delta) => return Ok(delta),
                Down::Policy(policy) => return Err(policy),
                Down::Acknowledged(_) | Down::Trust(_) | Down::Preview(_) => {}
            }
        }
    }

    /// Waits until the controller ends the stream.
    pub(crate) async fn ended(&mut self) -> Status {
        loop {
            match tokio::time::timeout(PATIENCE, self.down.message()).await.expect("in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// The first policy for which this holds.
    pub(crate) async fn policy_with(&mut self, wanted: impl Fn(&v1::HostPolicy) -> bool) -> v1::HostPolicy {
        loop {
            let policy = self.policy().await;
            if wanted(&policy) {
                return policy;
            }
        }
    }

    /// Waits until reports up to this one are acknowledged; policies are passed over.
    pub(crate) async fn acknowledged(&mut self, seq: u64) {
        loop {
            if let Down::Acknowledged(answer) = self.next().await {
                assert_eq!(answer.spool_epoch, "epoch");
                if answer.seq >= seq {
                    return;
                }
            }
        }
    }

    /// Sends a report and waits for its acknowledgement.
    pub(crate) async fn deliver(&mut self, seq: u64, body: Body) {
        self.report(seq, body).await;
        self.acknowledged(seq).await;
    }
}

/// A host with one listening service.
pub(crate) fn inventory(address: &str, services: &[(&str, u32)]) -> Body {
    let instances = services.iter().map(|(service, port)| {
        let endpoint = v1::Endpoint { protocol: "tcp".to_owned(), address: String::new(), port: *port };
        let endpoints = if *port == 0 { Vec::new() } else { vec![endpoint] };
        v1::InstanceReport { service: (*service).to_owned(), endpoints, live: true, natural: Vec::new() }
    });
    Body::Inventory(v1::Inventory {
        addresses: vec![address.to_owned()],
        instances: instances.collect(),
        at_ms: now_ms(),
    })
}

/// One connection of a local client.
pub(crate) fn flow(client: &str, from: &str, to: &str, port: u32) -> Body {
    let flow = v1::FlowRecord {
        client_service: client.to_owned(),
        client_address: from.to_owned(),
        server_service: String::new(),
        server_address: to.to_owned(),
        protocol: "tcp".to_owned(),
        port,
        connections: 1,
        bytes: 100,
        first_ms: now_ms(),
        last_ms: now_ms(),
    };
    Body::Flows(v1::FlowReport { flows: vec![flow] })
}
