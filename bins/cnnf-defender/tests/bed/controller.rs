//! A controller that believes everything: hands certificates out for one token, acknowledges every report, and keeps what it hears.

use std::net::SocketAddr;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cnnf_core::policy::HostPolicy;
use cnnf_rpc::tls::{self, ServerTls, Token, pin_of};
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::defender_service_server::{DefenderService, DefenderServiceServer};
use cnnf_rpc::v1::enrollment_service_server::{EnrollmentService, EnrollmentServiceServer};
use cnnf_rpc::v1::report::Body;
use cnnf_rpc::v1::{self};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SanType,
};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// What was heard so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) hellos: Vec<v1::Hello>,
    pub(crate) flows: Vec<v1::FlowRecord>,
    pub(crate) inventory: v1::Inventory,
    pub(crate) events: Vec<(Instant, v1::ConnectionEvent)>,
    pub(crate) notices: Vec<v1::Notice>,
    pub(crate) statuses: Vec<(Instant, v1::ApplyStatus)>,
    pub(crate) heartbeats: Vec<v1::Heartbeat>,
    pub(crate) wanted: Vec<v1::SnapshotWanted>,
    pub(crate) previews: Vec<v1::PreviewAnswer>,
    pub(crate) seqs: Vec<u64>,
}

pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    heard: Arc<Mutex<Heard>>,
    down: broadcast::Sender<v1::ControllerMessage>,
    latest: Arc<Mutex<Option<v1::HostPolicy>>>,
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

#[derive(Clone)]
struct Services {
    ca: Arc<Ca>,
    secret: Arc<Mutex<Option<String>>>,
    heard: Arc<Mutex<Heard>>,
    down: broadcast::Sender<v1::ControllerMessage>,
    latest: Arc<Mutex<Option<v1::HostPolicy>>>,
}

impl Controller {
    /// Starts one in the network namespace of the calling thread.
    pub(crate) fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = Arc::new(Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("ca")));
        let token = Token { secret: [7; 32], pin: pin_of(ca.0.der()) };
        let services = Services {
            secret: Arc::new(Mutex::new(Some(token.secret_text()))),
            heard: Arc::default(),
            down: broadcast::channel(64).0,
            latest: Arc::default(),
            ca,
        };
        let (tx, rx) = std_mpsc::channel();
        let (heard, down, latest) = (services.heard.clone(), services.down.clone(), services.latest.clone());
        std::thread::spawn(move || serve(services, &tx));
        Self { address: rx.recv().expect("address"), token: token.to_string(), heard, down, latest }
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.lock().expect("lock").clone()
    }

    /// Sends a policy to whoever is connected, and to whoever connects later.
    pub(crate) fn send(&self, policy: &HostPolicy) {
        let policy = v1::HostPolicy::from(policy);
        *self.latest.lock().expect("lock") = Some(policy.clone());
        let _ = self.down.send(v1::ControllerMessage { body: Some(Down::Policy(policy)) });
    }

    /// Asks whoever is connected what a policy would cut.
    pub(crate) fn ask(&self, number: u64, policy: &HostPolicy) {
        let question = v1::Preview { number, policy: Some(policy.into()) };
        let _ = self.down.send(v1::ControllerMessage { body: Some(Down::Preview(question)) });
    }

    /// Waits until what was heard has what is looked for.
    pub(crate) fn wait<T>(&self, what: &str, find: impl Fn(&Heard) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let heard = self.heard();
            if let Some(found) = find(&heard) {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{what} did not come: {heard:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn serve(services: Services, tx: &std_mpsc::Sender<SocketAddr>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        tx.send(listener.local_addr().expect("address")).expect("send");
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("params");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &services.ca.0).expect("sign").der().to_vec();
        let ca = services.ca.0.der().to_vec();
        let tls = ServerTls { chain: vec![certificate, ca.clone()], key: key.serialize_der(), client_cas: vec![ca] };
        let incoming = tls::accept(listener, &tls).expect("tls");
        tls::server()
            .add_service(EnrollmentServiceServer::new(services.clone()))
            .add_service(DefenderServiceServer::new(services))
            .serve_with_incoming(incoming)
            .await
            .expect("serve");
    });
}

impl Services {
    fn certify(&self, csr: Vec<u8>) -> Vec<u8> {
        let mut csr = CertificateSigningRequestParams::from_der(&csr.into()).expect("csr");
        csr.params.subject_alt_names = vec![SanType::URI("cnnf://defender/h-1".try_into().expect("uri"))];
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        csr.signed_by(&self.ca.0).expect("sign").der().to_vec()
    }
}

#[tonic::async_trait]
impl EnrollmentService for Services {
    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = request.into_inner();
        let mut secret = self.secret.lock().expect("lock");
        if secret.as_ref() != Some(&request.token) {
            return Err(Status::permission_denied("the token was used already: make a new one"));
        }
        *secret = None;
        Ok(Response::new(v1::EnrollResponse {
            host_id: "h-1".into(),
            certificate: self.certify(request.csr),
            ca_certificate: self.ca.0.der().to_vec(),
        }))
    }
}

#[tonic::async_trait]
impl DefenderService for Services {
    type AttachStream = ReceiverStream<Result<v1::ControllerMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<v1::DefenderMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut up = request.into_inner();
        let (tx, rx) = mpsc::channel(16);
        let mut down = self.down.subscribe();
        let services = self.clone();
        tokio::spawn(async move {
            let mut epoch = String::new();
            let latest = services.latest.lock().expect("lock").clone();
            if let Some(policy) = latest {
                let _ = tx.send(Ok(v1::ControllerMessage { body: Some(Down::Policy(policy)) })).await;
            }
            loop {
                tokio::select! {
                    Ok(message) = down.recv() => {
                        let _ = tx.send(Ok(message)).await;
                    }
                    message = up.message() => {
                        let Ok(Some(message)) = message else { return };
                        if let Some(Up::Hello(hello)) = &message.body {
                            epoch.clone_from(&hello.spool_epoch);
                        }
                        if let Some(seq) = services.hear(message) {
                            let acknowledged = v1::Acknowledged { spool_epoch: epoch.clone(), seq };
                            let _ = tx.send(Ok(v1::ControllerMessage { body: Some(Down::Acknowledged(acknowledged)) })).await;
                        }
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(rx)))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        Ok(Response::new(v1::RenewResponse { certificate: self.certify(request.into_inner().csr) }))
    }
}

impl Services {
    fn hear(&self, message: v1::DefenderMessage) -> Option<u64> {
        let mut heard = self.heard.lock().expect("lock");
        match message.body? {
            Up::Hello(hello) => heard.hellos.push(hello),
            Up::ApplyStatus(status) => heard.statuses.push((Instant::now(), status)),
            Up::Heartbeat(beat) => heard.heartbeats.push(beat),
            Up::SnapshotWanted(wanted) => heard.wanted.push(wanted),
            Up::PreviewAnswer(answer) => heard.previews.push(answer),
            Up::Report(report) => {
                heard.seqs.push(report.seq);
                match report.body? {
                    Body::Flows(flows) => heard.flows.extend(flows.flows),
                    Body::Inventory(inventory) => heard.inventory = inventory,
                    Body::Events(events) => heard.events.extend(events.events.into_iter().map(|e| (Instant::now(), e))),
                    Body::Notice(notice) => heard.notices.push(notice),
                    Body::Gap(_) | Body::Hits(_) => {}
                }
                return Some(report.seq);
            }
        }
        None
    }
}
