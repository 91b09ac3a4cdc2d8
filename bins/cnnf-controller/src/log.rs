//! The log: to standard error, in one of two forms, with a filter that can be replaced.

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use crate::config::{Config, LogFormat};

/// The log of this process.
pub(crate) struct Log(reload::Handle<EnvFilter, Registry>);

impl Log {
    /// Starts it.
    ///
    /// # Errors
    /// The filter is none, or there is a log already.
    pub(crate) fn start(config: &Config) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(filter(&config.log)?);
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
        let lines = match config.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        Registry::default().with(filter).with(lines).try_init().map_err(|error| error.to_string())?;
        Ok(Self(handle))
    }

    /// Goes on with another filter.
    ///
    /// # Errors
    /// It is none; the old one goes on.
    pub(crate) fn replace(&self, text: &str) -> Result<(), String> {
        self.0.reload(filter(text)?).map_err(|error| error.to_string())
    }
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text).map_err(|error| format!("log = \"{text}\": {error}"))
}
