//! `run`: everything together, until a signal.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cnnf_rpc::limits;
use cnnf_rpc::tls::{self, LiveTls, WebTls};
use cnnf_store::Store;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::now;
use crate::config::{self, Args, Config};
use crate::controller::Controller;
use crate::downloads::Downloads;
use crate::failure::Failure;
use crate::health::{self, Part};
use crate::log::Log;
use crate::oidc::Oidc;
use crate::pki::{Folder, Trust, rotation};
use crate::{alerts, distribute, grpc, init, sandbox, tasks, web};

/// How long calls may go on after the signal.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::load(args)?;
    let oidc = signed_in_by(&config).map_err(Failure::refused)?;
    // A file that is edited is another one under the old name: the folder must stay in reach for a reload.
    let open = sandbox::enter(&config.data_dir, &config.packages, args.file().and_then(Path::parent));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::refused)?;
    let log = {
        let _inside = runtime.enter();
        Log::start(&config).map_err(Failure::usage)?
    };
    for error in open {
        tracing::warn!("{error}");
    }
    let result = runtime.block_on(serve(args, config, oidc, &log));
    log.end();
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(args: &Args, mut config: Config, oidc: Option<Oidc>, log: &Log) -> Result<(), Failure> {
    let pki = Folder::load(&config.data_dir)
        .map_err(|error| Failure::refused(format_args!("{error}: run 'cnnf-controller init' first")))?;
    let trust = Trust::of(&pki)
        .map_err(|error| Failure::refused(format_args!("{}: {error}: restore a backup", config.data_dir.display())))?;
    let server_tls = LiveTls::new(&trust.server).map_err(Failure::refused)?;
    let web_tls = WebTls::new(&trust.server).map_err(Failure::refused)?;
    let store = Store::open(&config.data_dir.join(init::DATABASE)).map_err(Failure::refused)?;
    let grpc = bind("listen", config.listen)?;
    let web = bind("web", config.web)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Failure::refused)?;
    let controller = Controller::start(store, trust, config.certificate_life, now()).map_err(Failure::refused)?;
    let (grpc_at, web_at) = (local(&grpc, config.listen), local(&web, config.web));
    let certificate = controller.trust().server.chain.first().cloned().unwrap_or_default();
    let names = tls::server_names(&certificate).unwrap_or_default();
    let reached_at = names.iter().map(|name| format!("{name}:{}", grpc_at.port())).collect();
    let name = names.first().map_or("CONTROLLER", String::as_str);
    // Without packages everything else works.
    let downloads = Downloads::of(&config.packages, format!("{name}:{}", web_at.port())).unwrap_or_else(|error| {
        tracing::warn!("no packages for hosts: {}: {error}", config.packages.display());
        Downloads::default()
    });
    // Nobody has asked yet.
    let _ = controller.reached_at.set(reached_at);
    controller.sign_in_by(oidc);
    let _ = controller.downloads.set(downloads);
    let service = start(&controller, grpc, &server_tls, web, &web_tls);
    tokio::spawn(health::watch(Arc::clone(&controller), config.data_dir.clone()));
    rotation::record(&controller).await;
    tokio::spawn(rotation::watch(Arc::clone(&controller), config.data_dir.clone(), (server_tls, web_tls)));
    tracing::info!(listen = %grpc_at, web = %web_at, "the controller runs");
    tell(NotifyState::Ready);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            _ = hang_up.recv() => reload(args, &mut config, log, &controller),
        }
    }
    tracing::info!("the controller ends");
    tell(NotifyState::Stopping);
    stop(&controller, service).await;
    Ok(())
}

/// Takes up what has changed in the configuration and can be taken up; all of it, or, if anything is wrong, nothing.
fn reload(args: &Args, config: &mut Config, log: &Log, controller: &Controller) {
    let new = match config::load(args) {
        Ok(new) => new,
        Err(failure) => {
            for error in failure.to_string().lines() {
                tracing::error!(error, "the configuration is not reloaded, the old one goes on");
            }
            return;
        }
    };
    // The files that it names may have changed under their names.
    let oidc = match signed_in_by(&new) {
        Ok(oidc) => Some(oidc),
        Err(error) if new.oidc == config.oidc => {
            tracing::warn!(error, "who signs people in is not read again, the old one goes on");
            None
        }
        Err(error) => {
            tracing::error!(error, "the configuration is not reloaded, the old one goes on");
            return;
        }
    };
    if let Err(error) = log.replace(&new.log) {
        tracing::error!(error, "the configuration is not reloaded, the old one goes on");
        return;
    }
    controller.certificate_life.send_replace(new.certificate_life);
    if let Some(oidc) = oidc {
        controller.sign_in_by(oidc);
    }
    for key in config.fixed(&new) {
        tracing::warn!(key, "what has changed here counts from the next start on");
    }
    // What counts from the next start on is told again at the next reload.
    config.log.clone_from(&new.log);
    config.certificate_life = new.certificate_life;
    config.oidc = new.oidc;
    tracing::info!(log = new.log, "the configuration is reloaded");
}

/// Who else signs people in, by the configuration and the files that it names.
fn signed_in_by(config: &Config) -> Result<Option<Oidc>, String> {
    config.oidc.as_ref().map(Oidc::new).transpose().map_err(|error| format!("oidc: {error}"))
}

/// Tells the service manager, if there is one that wants to know.
fn tell(state: NotifyState<'_>) {
    let said = state.to_string();
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell the service manager {said}: {error}");
    }
}

/// The tasks of a running controller.
struct Service(Vec<tokio::task::JoinHandle<()>>);

/// Starts all tasks.
fn start(
    controller: &Arc<Controller>,
    grpc: TcpListener,
    server_tls: &LiveTls,
    web_listener: TcpListener,
    web_tls: &WebTls,
) -> Service {
    let incoming = tls::accept_live(grpc, server_tls.clone());
    let web_tls = web_tls.clone();
    let [api, pages, failed] = [(); 3].map(|()| Arc::clone(controller));
    let service = Service(vec![
        tokio::spawn(distribute::run(Arc::clone(controller))),
        tokio::spawn(tasks::run(Arc::clone(controller))),
        tokio::spawn(alerts::run(Arc::clone(controller))),
        tokio::spawn(async move {
            if let Err(error) = grpc::serve(api, incoming).await {
                tracing::error!(%error, "the API has ended");
                failed.health.fail(Part::Api);
            }
        }),
        tokio::spawn(async move {
            web::serve(pages, web_listener, web_tls).await;
        }),
    ]);
    controller.resolve_now.notify_one();
    service
}

/// Ends all tasks; what is on its way to the store arrives there.
async fn stop(controller: &Arc<Controller>, service: Service) {
    controller.health.fail(Part::Whole);
    controller.ending.send_replace(true);
    for task in service.0 {
        let abort = task.abort_handle();
        if tokio::time::timeout(GRACE, task).await.is_err() {
            abort.abort();
        }
    }
    tasks::store_clocks(controller).await;
    controller.people.store_refusals(&controller.store).await;
}

/// Where it listens in truth: a port of 0 means any.
fn local(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As TcpListener::bind does: a port that was ours a moment ago is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(limits::MAX_QUEUED)
    };
    listen().map_err(|error: std::io::Error| {
        Failure::refused(format_args!(
            "cannot listen on {address} ({key}): {error}: free the port or choose another address"
        ))
    })
}
