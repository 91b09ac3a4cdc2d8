//! What `up` checks and writes before the first process starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use nix::unistd::geteuid;

use crate::bed::Ground;
use crate::error::{Error, Result, Tried};
use crate::layout::{WorldDir, make_open_dir};
use crate::net;
use crate::plan::{Plan, UnitPlan, service_folder};
use crate::programs;
use crate::worldfile::{Port, ServicePart, WorldFile};

/// The port of the controller's gRPC.
pub(super) const GRPC_PORT: u16 = 7443;
/// The port of the controller's web page.
pub(super) const WEB_PORT: u16 = 8443;

/// The unit of a host's defender.
pub(super) const DEFENDER_UNIT: &str = "cnnf-defender.service";

/// A defender that is silent for this long is ended; with what the init needs to do so it stays below 5 s.
const DEFENDER_WATCHDOG_MS: u64 = 3500;

/// Refuses a world this machine cannot hold.
pub(super) fn check_machine(world: &WorldFile, ground: &Ground) -> Result<()> {
    if !geteuid().is_root() {
        return Err(Error::Unreachable(
            "cnnf-lab makes namespaces and cgroups, which needs root, run it with sudo".to_owned(),
        ));
    }
    if !programs::is_installed("ip") {
        return Err(Error::Unreachable("`ip` is not installed, install iproute2".to_owned()));
    }
    if world.controller.enabled {
        programs::ours("cnnf-controller")?;
        programs::ours("cnnfctl")?;
    }
    for host in &world.hosts {
        if host.defender {
            programs::ours("cnnf-defender")?;
        }
        for service in &host.services {
            check_service(&host.name, service, ground)?;
        }
    }
    Ok(())
}

fn check_service(host: &str, service: &ServicePart, ground: &Ground) -> Result<()> {
    let place = ground.name();
    let unit = &service.unit;
    let program = &service.command[0];
    if !program.contains("{dir}") && !ground.has_program(program) {
        return Err(Error::Usage(format!(
            "program `{program}` of unit {unit} on host {host} is not on {place}, install it or correct the command"
        )));
    }
    if let Some(user) = &service.user
        && ground.user(user).is_none()
    {
        return Err(Error::Usage(format!(
            "user `{user}` of unit {unit} on host {host} is not on {place}, make it or name another"
        )));
    }
    Ok(())
}

/// A name that no other world on the machine has.
pub(super) fn new_id() -> Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").tried(|| "cannot draw a world's id".to_owned())?;
    Ok(uuid.chars().take(8).collect())
}

/// The plans of all nodes: the hosts, the controller, the bridge.
pub(super) fn plans(dir: &WorldDir, world: &WorldFile, ground: &Ground) -> Result<Vec<Plan>> {
    let programs = programs::folder()?;
    let base = |name: &str| Plan {
        name: name.to_owned(),
        home: dir.node(name),
        programs: programs.clone(),
        keep: Vec::new(),
        tree: None,
        etc_hosts: etc_hosts(name, world),
        sysctls: net::host_sysctls(false),
        units: Vec::new(),
    };
    let mut plans = Vec::new();
    for host in &world.hosts {
        let mut plan = base(&host.name);
        plan.tree = ground.tree().map(PathBuf::from);
        plan.sysctls = net::host_sysctls(host.defender);
        if host.defender {
            plan.units.push(UnitPlan { env: host.defender_env.clone(), ..defender_unit() });
        }
        plan.units.extend(host.services.iter().map(service_unit));
        plans.push(plan);
    }
    if world.controller.enabled {
        let mut plan = base("controller");
        plan.keep.push(dir.controller());
        plan.units.push(UnitPlan { env: world.controller.env.clone(), ..controller_unit(&dir.controller()) });
        plans.push(plan);
    }
    let mut bridge = base("bridge");
    bridge.sysctls = net::bridge_sysctls();
    plans.push(bridge);
    Ok(plans)
}

fn etc_hosts(own: &str, world: &WorldFile) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let mut numbered: Vec<(usize, &str)> =
        world.hosts.iter().enumerate().map(|(index, host)| (index + 1, host.name.as_str())).collect();
    if world.controller.enabled {
        numbered.push((net::CONTROLLER_NUMBER, "controller"));
    }
    for (number, name) in numbered {
        text += &format!("{} {name}\n{} {name}\n", net::v4(number), net::v6(number));
    }
    if own == "bridge" {
        text += "127.0.0.1 bridge\n";
    }
    text
}

fn service_unit(service: &ServicePart) -> UnitPlan {
    let folder = service_folder(&service.unit);
    let place = folder.display().to_string();
    UnitPlan {
        name: service.unit.clone(),
        command: service.command.iter().map(|word| word.replace("{dir}", &place)).collect(),
        env: service.env.iter().map(|(key, value)| (key.clone(), value.replace("{dir}", &place))).collect(),
        user: service.user.clone(),
        folder,
        ready: service.ready,
        watchdog_ms: service.watchdog.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn own_unit(name: &str, command: &[&str]) -> UnitPlan {
    UnitPlan {
        name: name.to_owned(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: std::collections::BTreeMap::new(),
        user: None,
        folder: PathBuf::from("/"),
        ready: None,
        watchdog_ms: None,
    }
}

fn defender_unit() -> UnitPlan {
    let mut unit = own_unit(DEFENDER_UNIT, &["cnnf-defender", "run"]);
    unit.watchdog_ms = Some(DEFENDER_WATCHDOG_MS);
    unit
}

fn controller_unit(folder: &std::path::Path) -> UnitPlan {
    let address = net::v4(net::CONTROLLER_NUMBER);
    let (listen, web) = (format!("{address}:{GRPC_PORT}"), format!("{address}:{WEB_PORT}"));
    let folder = folder.display().to_string();
    let mut unit = own_unit(
        "cnnf-controller.service",
        &["cnnf-controller", "run", "--data-dir", &folder, "--listen", &listen, "--web", &web],
    );
    unit.ready = Some(Port { udp: false, number: GRPC_PORT });
    unit
}

/// Makes a node's folder with its plan.
pub(super) fn write_node(dir: &WorldDir, plan: &Plan) -> Result<()> {
    make_open_dir(&plan.home)?;
    make_open_dir(&dir.logs(&plan.name))?;
    for kept in &plan.keep {
        fs::create_dir_all(kept)
            .and_then(|()| fs::set_permissions(kept, fs::Permissions::from_mode(0o700)))
            .tried(|| format!("cannot make {}", kept.display()))?;
    }
    let text = serde_json::to_string_pretty(plan)
        .map_err(|error| Error::Failed(format!("cannot write the plan of {}: {error}", plan.name)))?;
    let path = plan.home.join("plan.json");
    fs::write(&path, text).tried(|| format!("cannot write {}", path.display()))
}

/// Makes the services' private folders with their files, owned by the user the service runs as.
pub(super) fn write_services(dir: &WorldDir, world: &WorldFile, ground: &Ground) -> Result<()> {
    for host in &world.hosts {
        for service in &host.services {
            let seen_inside = service_folder(&service.unit).display().to_string();
            let folder = dir.node(&host.name).join("services").join(&service.unit);
            let user = service.user.as_deref().and_then(|name| ground.user(name));
            let mut made = vec![folder.clone()];
            make_open_dir(&folder)?;
            for (name, content) in &service.files {
                let path = folder.join(name);
                let parents = path.ancestors().skip(1).take_while(|parent| *parent != folder);
                made.extend(parents.map(PathBuf::from));
                if let Some(parent) = path.parent() {
                    make_open_dir(parent)?;
                }
                fs::write(&path, content.replace("{dir}", &seen_inside))
                    .tried(|| format!("cannot write {}", path.display()))?;
                // Scripts may be run as they are.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                    .tried(|| format!("cannot write {}", path.display()))?;
                made.push(path);
            }
            if let Some((uid, gid)) = user {
                for path in made {
                    chown(&path, Some(uid), Some(gid))
                        .tried(|| format!("cannot give {} to the unit's user", path.display()))?;
                }
            }
        }
    }
    Ok(())
}
