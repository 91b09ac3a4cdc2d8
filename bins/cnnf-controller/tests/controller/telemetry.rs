//! A collector gets calls as traces and the log as records.

use std::sync::{Arc, Mutex};

use cnnf_rpc::v1;
use cnnf_rpc::v1::status_service_client::StatusServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::place::Place;

/// What has arrived, as Debug prints it.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<String>>,
    records: Arc<Mutex<String>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.spans.lock().expect("no panic").push_str(&format!("{:?}", request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.records.lock().expect("no panic").push_str(&format!("{:?}", request.into_inner()));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_calls_and_the_log_up_to_the_end() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = format!("http://{}", listener.local_addr().expect("an address"));
    let server = Server::builder()
        .add_service(TraceServiceServer::new(collector.clone()))
        .add_service(LogsServiceServer::new(collector.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let mut place = Place::new();
    place.kill();
    place.start_with(&["--telemetry", &at]);
    StatusServiceClient::new(place.admin().await).get_status(v1::GetStatusRequest {}).await.expect("status");
    let nobody = StatusServiceClient::new(place.anonymous().await).get_status(v1::GetStatusRequest {}).await;
    let id = nobody
        .expect_err("nobody")
        .metadata()
        .get("x-request-id")
        .expect("a number")
        .to_str()
        .expect("text")
        .to_owned();
    // what is left goes out at the end
    assert_eq!(place.terminate(), Some(0));
    let spans = collector.spans.lock().expect("no panic").clone();
    for part in ["cnnf-controller", "service.version", "name: \"call\"", "/cnnf.v1.StatusService/GetStatus", &id] {
        assert!(spans.contains(part), "{part}: {spans}");
    }
    let records = collector.records.lock().expect("no panic").clone();
    for part in ["the controller runs", "a call was refused", "the controller ends"] {
        assert!(records.contains(part), "{part}: {records}");
    }
}
