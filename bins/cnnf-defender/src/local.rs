//! The local socket, by which `status` and `release` reach the running defender: one word up, one line of JSON down.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use cnnf_core::ruleset::QueueBackend;
use cnnf_host::dataplane::{ReconcileError, Reconciler};

use crate::agent::Event;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::say;
use crate::runtime::{Attribution, Shared, Status};

/// How long a caller may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request.
const REQUEST_MAX: u64 = 64;

/// The serving side.
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) agent: Sender<Event>,
}

impl Server {
    /// Serves for ever. Without a socket the defender runs all the same.
    pub(crate) async fn serve(self) {
        let listener = match listen(&self.socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!("'status' cannot reach this: {}: {error}", self.socket.display());
                return;
            }
        };
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = tokio::time::timeout(PATIENCE, self.answer(stream)).await;
        }
    }

    async fn answer(&self, stream: tokio::net::UnixStream) -> std::io::Result<()> {
        use tokio::io::AsyncReadExt;
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        tokio::io::BufReader::new(read.take(REQUEST_MAX)).read_line(&mut line).await?;
        if line.trim() == "release" {
            // the agent ends only with the process
            let _ = self.agent.send(Event::Release);
            for _ in 0..50 {
                if self.shared.status().table == "released" {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let mut text = serde_json::to_string(&self.shared.status()).map_err(std::io::Error::other)?;
        text.push('\n');
        write.write_all(text.as_bytes()).await
    }
}

fn listen(socket: &Path) -> std::io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // an earlier run's
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn ask(socket: &Path, request: &str) -> std::io::Result<Status> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}

/// `status`.
pub(crate) fn status(config: &Config, json: bool) -> Result<(), Failure> {
    let status = ask(&config.socket, "status").map_err(|error| {
        Failure::refused(format_args!(
            "no defender answers at {}: {error}: is 'cnnf-defender run' running?",
            config.socket.display()
        ))
    })?;
    if json {
        return say!("{}", serde_json::to_string_pretty(&status).map_err(Failure::refused)?);
    }
    let link = if status.connected { "connected" } else { "not connected" };
    say!("host        {}", status.host_id)?;
    say!("controller  {} ({link})", status.controller)?;
    say!("certificate until {}", status.certificate_expires)?;
    let trial = if status.on_trial { ", on trial until the controller is reached anew" } else { "" };
    say!("generation  {} desired, {} applied{trial}", status.generation_desired, status.generation_applied)?;
    say!("mode        {}", status.mode)?;
    say!("table       {}, queue {}", status.table, status.queue)?;
    if status.trouble.is_empty() {
        say!("state       {}", status.state)?;
    } else {
        say!("state       {}: what was in force before holds, and it is tried again every 5 s", status.state)?;
        say!("trouble     {}", status.trouble)?;
    }
    say!("names       {}", words(status.attribution))?;
    for what in &status.not_covered {
        say!("not covered {what}")?;
    }
    say!("counters")?;
    for (name, value) in &status.counters {
        say!("  {name:<15} {value}")?;
    }
    Ok(())
}

/// How the running defender named connections, in words; `None` if none runs.
pub(crate) fn named(config: &Config) -> Option<String> {
    ask(&config.socket, "status").ok().map(|status| words(status.attribution))
}

fn words(Attribution { kernel, queue, holders, unknown, ambiguous }: Attribution) -> String {
    format!(
        "{kernel} by the kernel, {queue} by the queue ({holders} by asking processes); {unknown} unknown, {ambiguous} ambiguous"
    )
}

/// `release`.
pub(crate) fn release(config: &Config) -> Result<(), Failure> {
    match ask(&config.socket, "release") {
        Ok(status) if status.table == "released" => {}
        Ok(_) => return Err(Failure::refused("the running defender could not remove its table: see its log")),
        // Nobody runs: the table that an earlier run left, which is nobody's then, is removed here.
        Err(unheard) => Reconciler::open(QueueBackend::None).and_then(|mut r| r.release()).map_err(|error| match error {
            ReconcileError::Foreign { .. } => Failure::refused(format_args!(
                "{error} It does not answer at {} ({unheard}): stop it first, as with 'systemctl stop cnnf-defender'",
                config.socket.display()
            )),
            error => Failure::refused(error),
        })?,
    }
    say!("released: nothing is judged on this host until 'cnnf-defender run' is started again")
}
