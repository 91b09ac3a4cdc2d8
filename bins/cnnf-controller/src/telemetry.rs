//! Calls as traces and the log's lines as records, to a collector that speaks OpenTelemetry's protocol over gRPC.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// How long the collector may take for a batch, and for all that is left at the end.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is ours begins with this. What sends to the collector is not told to it: that would go round for ever.
const OURS: &str = "cnnf";

/// What goes to a collector, in batches from threads of its own. What the collector does not take is lost; the log has it still.
pub(crate) struct Telemetry {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
}

impl Telemetry {
    /// To a collector at `endpoint`, such as `http://127.0.0.1:4317`; it need not be there. Within a runtime.
    ///
    /// # Errors
    /// The endpoint is none.
    pub(crate) fn start(endpoint: &str) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("telemetry.endpoint = \"{endpoint}\": {error}");
        let mut spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE);
        let mut records = LogExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE);
        if endpoint.starts_with("https:") {
            let tls = ClientTlsConfig::new().with_enabled_roots();
            spans = spans.with_tls_config(tls.clone());
            records = records.with_tls_config(tls);
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("cnnf-controller").with_attribute(version).build();
        let spans = spans.build().map_err(|error| wrong(&error))?;
        let records = records.build().map_err(|error| wrong(&error))?;
        Ok(Self {
            traces: SdkTracerProvider::builder().with_batch_exporter(spans).with_resource(resource.clone()).build(),
            logs: SdkLoggerProvider::builder().with_batch_exporter(records).with_resource(resource).build(),
        })
    }

    /// What takes the log's spans and lines.
    pub(crate) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = || filter_fn(|metadata| metadata.target().starts_with(OURS));
        let spans = tracing_opentelemetry::layer().with_tracer(self.traces.tracer("cnnf-controller"));
        let records = OpenTelemetryTracingBridge::new(&self.logs);
        spans.with_filter(ours()).and_then(records.with_filter(ours())).boxed()
    }

    /// Sends what is left. Blocks, while the runtime still runs.
    pub(crate) fn end(&self) {
        for result in [self.traces.shutdown_with_timeout(PATIENCE), self.logs.shutdown_with_timeout(PATIENCE)] {
            if let Err(error) = result {
                eprintln!("what was left for the collector did not arrive: {error}");
            }
        }
    }
}
