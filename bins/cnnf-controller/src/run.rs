//! `run`: everything together, until a signal.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cnnf_rpc::tls::{self, LiveTls, WebTls};
use cnnf_store::Store;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::now;
use crate::config::Config;
use crate::controller::Controller;
use crate::downloads::Downloads;
use crate::failure::Failure;
use crate::oidc::Oidc;
use crate::pki::{Folder, Trust, rotation};
use crate::{alerts, distribute, grpc, init, sandbox, tasks, web};

/// How long calls may go on after the signal.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log).map_err(Failure::usage)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    let oidc = config.oidc.as_ref().map(Oidc::new).transpose();
    let oidc = oidc.map_err(|error| Failure::refused(format_args!("oidc: {error}")))?;
    sandbox::enter(&config.data_dir, &config.packages);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::refused)?;
    let result = runtime.block_on(serve(&config, oidc));
    runtime.shutdown_timeout(GRACE);
    result
}

async fn serve(config: &Config, oidc: Option<Oidc>) -> Result<(), Failure> {
    let pki = Folder::load(&config.data_dir)
        .map_err(|error| Failure::refused(format_args!("{error}: run 'cnnf-controller init' first")))?;
    let trust = Trust::of(&pki)
        .map_err(|error| Failure::refused(format_args!("{}: {error}: restore a backup", config.data_dir.display())))?;
    let server_tls = LiveTls::new(&trust.server).map_err(Failure::refused)?;
    let web_tls = WebTls::new(&trust.server).map_err(Failure::refused)?;
    let store = Store::open(&config.data_dir.join(init::DATABASE)).map_err(Failure::refused)?;
    let grpc = bind("listen", config.listen).await?;
    let web = bind("web", config.web).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
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
    if let Some(oidc) = oidc {
        let _ = controller.oidc.set(oidc);
    }
    let _ = controller.downloads.set(downloads);
    let service = start(&controller, grpc, &server_tls, web, &web_tls);
    rotation::record(&controller).await;
    tokio::spawn(rotation::watch(Arc::clone(&controller), config.data_dir.clone(), (server_tls, web_tls)));
    tracing::info!(listen = %grpc_at, web = %web_at, "the controller runs");
    tell(NotifyState::Ready);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("the controller ends");
    tell(NotifyState::Stopping);
    stop(&controller, service).await;
    Ok(())
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
    let ready = Arc::new(AtomicBool::new(false));
    let incoming = tls::accept_live(grpc, server_tls.clone());
    let web_tls = web_tls.clone();
    let (api, pages) = (Arc::clone(controller), Arc::clone(controller));
    let shown = Arc::clone(&ready);
    let service = Service(vec![
        tokio::spawn(distribute::run(Arc::clone(controller))),
        tokio::spawn(tasks::run(Arc::clone(controller))),
        tokio::spawn(alerts::run(Arc::clone(controller))),
        tokio::spawn(async move {
            if let Err(error) = grpc::serve(api, incoming).await {
                tracing::error!(%error, "the API has ended");
            }
        }),
        tokio::spawn(async move {
            web::serve(pages, web_listener, web_tls, shown).await;
        }),
    ]);
    controller.resolve_now.notify_one();
    ready.store(true, Ordering::Relaxed);
    service
}

/// Ends all tasks; what is on its way to the store arrives there.
async fn stop(controller: &Arc<Controller>, service: Service) {
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

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::refused(format_args!(
            "cannot listen on {address} ({key}): {error}: free the port or choose another address"
        ))
    })
}
