//! The log: to standard error, in one of two forms, with a filter that can be replaced.

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::config::{Config, LogFormat};
use crate::telemetry::Telemetry;

/// The log of this process.
pub(crate) struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    telemetry: Option<Telemetry>,
}

impl Log {
    /// Starts it. Within a runtime.
    ///
    /// # Errors
    /// The filter or the collector's endpoint is none, or there is a log already.
    pub(crate) fn start(config: &Config) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(filter(&config.log)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
        let lines = match config.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        let telemetry = config.telemetry.as_deref().map(Telemetry::start).transpose()?;
        let exported = telemetry.as_ref().map(Telemetry::layer);
        Registry::default().with(filter).with(lines).with(exported).try_init().map_err(|error| error.to_string())?;
        Ok(Self { filter: handle, telemetry })
    }

    /// Goes on with another filter.
    ///
    /// # Errors
    /// It is none; the old one goes on.
    pub(crate) fn replace(&self, text: &str) -> Result<(), String> {
        self.filter.reload(filter(text)?).map_err(|error| error.to_string())
    }

    /// Sends what is left for a collector. Blocks, while the runtime still runs.
    pub(crate) fn end(&self) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.end();
        }
    }
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text).map_err(|error| format!("log = \"{text}\": {error}"))
}
