//! `cnnfctl services`.

mod define;
mod reach;

use clap::Subcommand;
use cnnf_rpc::v1;

use super::{Asker, Mode, heading, page, port};
use crate::context::{Session, request};
use crate::failure::Failure;
use crate::output::{Cell, Output, Sheet, Tone, printable};

#[derive(Debug, Subcommand)]
pub(super) enum Services {
    /// All services.
    List,
    /// One service with its instances.
    Show {
        /// Its key or short name.
        service: String,
    },
    /// What a service may reach by rules and models, against what it was seen to reach.
    Reach(reach::Reach),
    /// Set whether prevent is carried out for a service, on all its hosts. The less strict of this and the host's mode counts.
    Mode {
        /// Its key or short name.
        service: String,
        /// Its mode.
        mode: Mode,
    },
    /// Say what services are called: whatever meets the conditions is svc:NAME.
    Define(define::Define),
    /// Delete a definition: services have their own names again.
    Undefine(define::Undefine),
    /// What services are called, in order: the first definition that applies decides.
    Definitions,
}

impl Services {
    pub(super) async fn run(self, asker: &Asker) -> Result<(), Failure> {
        let out = &asker.out;
        match self {
            Self::Reach(reach) => reach.run(asker).await,
            Self::Define(define) => define.run(asker).await,
            Self::Undefine(undefine) => undefine.run(asker).await,
            Self::Definitions => define::definitions(&asker.connect().await?, out).await,
            Self::List => {
                let services = all(&asker.connect().await?).await?;
                out.show(&services, || list(&services.services, out))
            }
            Self::Show { service } => {
                let session = asker.connect().await?;
                let ask = v1::GetServiceRequest { service };
                let service = session.answer(session.topology().get_service(request(ask))).await?;
                out.show(&service, || show(&service, out))
            }
            Self::Mode { service, mode } => {
                let session = asker.connect().await?;
                let ask = v1::SetServiceModeRequest { service, mode: mode.word() };
                let service = session.answer(session.topology().set_service_mode(request(ask))).await?;
                out.done(&service, || format!("{} is in {} mode", printable(&service.key), printable(&service.mode)))
            }
        }
    }
}

async fn all(session: &Session) -> Result<v1::ListServicesResponse, Failure> {
    let mut all = v1::ListServicesResponse::default();
    loop {
        let ask = v1::ListServicesRequest { page: page(&all.next_token) };
        let next = session.answer(session.topology().list_services(request(ask))).await?;
        all.services.extend(next.services);
        all.next_token = next.next_token;
        if all.next_token.is_empty() {
            return Ok(all);
        }
    }
}

fn list(services: &[v1::Service], out: &Output) -> String {
    let mut sheet = Sheet::new(out, &["SERVICE", "KEY", "HOSTS", "LISTENS ON", "PHASE", "MODE"]);
    for service in services {
        let mut ports: Vec<_> =
            service.instances.iter().flat_map(|i| &i.endpoints).map(|e| port(&e.protocol, e.port)).collect();
        ports.sort_unstable();
        ports.dedup();
        let name = Cell::from(&service.name);
        let live = service.instances.iter().any(|instance| instance.live);
        sheet.row(vec![
            if live { name } else { name.tone(Tone::Faint) },
            Cell::from(&service.key),
            Cell::from(short(service.instances.iter().map(|i| i.host.clone()).collect(), out)),
            Cell::from(short(ports, out)),
            Cell::word(&service.phase),
            Cell::word(&service.mode),
        ]);
    }
    sheet.render()
}

/// A list that does not fill the screen.
fn short(items: Vec<String>, out: &Output) -> String {
    const SHOWN: usize = 4;
    if items.len() <= SHOWN + 1 || out.wide() {
        return items.join(", ");
    }
    format!("{}, … {} more", items[..SHOWN].join(", "), items.len() - SHOWN)
}

fn show(service: &v1::Service, out: &Output) -> String {
    let mut sheet = Sheet::of_fields(out);
    sheet.field("service", &service.name);
    sheet.field("key", &service.key);
    sheet.field("phase", Cell::word(&service.phase));
    sheet.field("mode", Cell::word(&service.mode));
    let mut instances = Sheet::new(out, &["HOST", "LIVE", "LISTENS ON"]);
    for instance in &service.instances {
        let endpoint = |e: &v1::Endpoint| match e.address.as_str() {
            "" => port(&e.protocol, e.port),
            address if address.contains(':') => format!("[{address}] {}", port(&e.protocol, e.port)),
            address => format!("{address} {}", port(&e.protocol, e.port)),
        };
        instances.row(vec![
            Cell::from(&instance.host),
            if instance.live { Cell::from("yes").tone(Tone::Good) } else { Cell::from("no").tone(Tone::Faint) },
            Cell::from(instance.endpoints.iter().map(endpoint).collect::<Vec<_>>().join(", ")),
        ]);
    }
    sheet.render() + "\n" + &heading("instances", &instances.render())
}
