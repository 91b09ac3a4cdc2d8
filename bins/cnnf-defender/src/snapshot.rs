//! What the defender keeps over a restart: the last policy, the slots of services and the count of epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{HeldPorts, Slots};
use cnnf_core::net::Protocol;
use cnnf_core::policy::HostPolicy;
use cnnf_core::time::Timestamp;
use cnnf_rpc::v1;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::agent::{Standing, Trial};

const STAMPS: &str = "stamps.json";
const POLICY: &str = "policy.pb";
const STANDING: &str = "standing.json";
const PASSED: &str = "passed.json";
const HITS: &str = "hits.json";
const LABELS: &str = "labels.json";

/// What gives the labels on live connections their meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) slots: Slots,
    /// How many epochs there have been since boot.
    pub(crate) epochs: u32,
    /// Who holds the ports by which services are defined; of earlier boots too, as a service keeps its name while it does not listen.
    pub(crate) ports: HeldPorts,
    /// Whether an earlier run of this boot has kept them.
    pub(crate) resumed: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    boot: String,
    epochs: u32,
    slots: Vec<(ServiceKey, u16)>,
    #[serde(default)]
    ports: Vec<(Protocol, u16, BTreeSet<ServiceKey>)>,
}

/// The kernel's name for this boot.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Reads the stamps of this boot; those of an earlier one mean nothing any more.
pub(crate) fn load_stamps(state_dir: &Path, boot: &str) -> Stamps {
    let kept: Option<Kept> =
        fs::read(state_dir.join(STAMPS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(kept) = kept else { return Stamps::default() };
    let ports = kept.ports.into_iter().map(|(protocol, port, services)| ((protocol, port), services)).collect();
    if kept.boot != boot {
        return Stamps { ports, ..Stamps::default() };
    }
    Stamps { slots: Slots::restore(kept.slots), epochs: kept.epochs, ports, resumed: true }
}

/// Keeps the stamps.
///
/// # Errors
/// They could not be written; the older ones are there.
pub(crate) fn keep_stamps(
    state_dir: &Path,
    boot: &str,
    slots: &Slots,
    ports: &HeldPorts,
    epochs: u32,
) -> io::Result<()> {
    let slots = slots.iter().map(|(key, slot)| (key.clone(), slot.number())).collect();
    let ports = ports.iter().map(|((protocol, port), services)| (*protocol, *port, services.clone())).collect();
    let kept = Kept { boot: boot.to_owned(), epochs, slots, ports };
    // after a power cut slots mean nothing, and ports are soon seen again: no need to wait for the disk
    replace(&state_dir.join(STAMPS), &serde_json::to_vec(&kept).map_err(io::Error::other)?, false)
}

/// Reads the last policy; `None` if there is none that can be read.
pub(crate) fn load_policy(state_dir: &Path) -> Option<HostPolicy> {
    let bytes = fs::read(state_dir.join(POLICY)).ok()?;
    let policy = v1::HostPolicy::decode(bytes.as_slice()).map_err(|error| error.to_string());
    match policy.and_then(|policy| HostPolicy::try_from(policy).map_err(|error| error.to_string())) {
        Ok(policy) => Some(policy),
        Err(error) => {
            tracing::error!("the kept policy cannot be read, waiting for the controller's: {error}");
            None
        }
    }
}

/// Keeps a policy, on the disk when this returns.
///
/// # Errors
/// It could not be written; the older one is there.
pub(crate) fn keep_policy(state_dir: &Path, policy: &HostPolicy) -> io::Result<()> {
    replace(&state_dir.join(POLICY), &v1::HostPolicy::from(policy).encode_to_vec(), true)
}

/// How many packets the table of this boot had let pass without a verdict when it was last told of; 0 if nobody knows.
pub(crate) fn load_passed(state_dir: &Path, boot: &str) -> u64 {
    let kept: Option<(String, u64)> =
        fs::read(state_dir.join(PASSED)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    kept.filter(|(of, _)| of == boot).map_or(0, |(_, packets)| packets)
}

/// Keeps how many packets the table has let pass without a verdict.
///
/// # Errors
/// It could not be written; the older number is there.
pub(crate) fn keep_passed(state_dir: &Path, boot: &str, packets: u64) -> io::Result<()> {
    replace(&state_dir.join(PASSED), &serde_json::to_vec(&(boot, packets)).map_err(io::Error::other)?, false)
}

/// Which label bits an earlier run of this boot left to others; `None` if it did not say, or there was none.
pub(crate) fn load_free_labels(state_dir: &Path, boot: &str) -> Option<u8> {
    let kept: Option<(String, u8)> =
        fs::read(state_dir.join(LABELS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    kept.filter(|(of, _)| of == boot).map(|(_, first)| first)
}

/// Keeps which label bits are left to others.
///
/// # Errors
/// It could not be written; the older number is there.
pub(crate) fn keep_free_labels(state_dir: &Path, boot: &str, first: u8) -> io::Result<()> {
    replace(&state_dir.join(LABELS), &serde_json::to_vec(&(boot, first)).map_err(io::Error::other)?, false)
}

/// What each of the table's counters had counted when it was last told of, with what tells it from a later one of its name.
pub(crate) type Told = BTreeMap<String, ((u64, u64), u64)>;

/// Reads what was told of this boot's counters; nothing if nobody knows.
pub(crate) fn load_hits(state_dir: &Path, boot: &str) -> Told {
    let kept: Option<(String, Told)> =
        fs::read(state_dir.join(HITS)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    kept.filter(|(of, _)| of == boot).map(|(_, told)| told).unwrap_or_default()
}

/// Keeps what is told of the table's counters.
///
/// # Errors
/// It could not be written; the older ones are there.
pub(crate) fn keep_hits(state_dir: &Path, boot: &str, told: &Told) -> io::Result<()> {
    replace(&state_dir.join(HITS), &serde_json::to_vec(&(boot, told)).map_err(io::Error::other)?, false)
}

/// A [`Standing`] on disk.
#[derive(Serialize, Deserialize)]
struct KeptStanding {
    generation: u64,
    /// Of a trial: when it ends, in milliseconds since the epoch, and the policy before it.
    trial: Option<(u64, Vec<u8>)>,
}

/// Reads how the host stood with its policy. What cannot be read is [`Standing::Good`]: nothing could be gone back to.
pub(crate) fn load_standing(state_dir: &Path) -> Standing {
    let Ok(bytes) = fs::read(state_dir.join(STANDING)) else { return Standing::Good };
    let read = || {
        let kept: KeptStanding = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let Some((until, previous)) = kept.trial else {
            return Ok(Standing::Reverted { generation: kept.generation });
        };
        let previous = v1::HostPolicy::decode(previous.as_slice()).map_err(|error| error.to_string())?;
        let previous = HostPolicy::try_from(previous).map_err(|error| error.to_string())?;
        Ok(Standing::OnTrial(Trial { generation: kept.generation, previous, until: Timestamp(until) }))
    };
    read().unwrap_or_else(|error: String| {
        tracing::error!("{STANDING} cannot be read: {error}");
        Standing::Good
    })
}

/// Keeps how the host stands, on the disk when this returns.
///
/// # Errors
/// It could not be written; the older one is there.
pub(crate) fn keep_standing(state_dir: &Path, standing: &Standing) -> io::Result<()> {
    let kept = match standing {
        Standing::Good => {
            return match fs::remove_file(state_dir.join(STANDING)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        Standing::Reverted { generation } => KeptStanding { generation: *generation, trial: None },
        Standing::OnTrial(trial) => KeptStanding {
            generation: trial.generation,
            trial: Some((trial.until.0, v1::HostPolicy::from(&trial.previous).encode_to_vec())),
        },
    };
    replace(&state_dir.join(STANDING), &serde_json::to_vec(&kept).map_err(io::Error::other)?, true)
}

/// Replaces a file whole or not at all.
fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&new, path)?;
    match path.parent().filter(|_| durable) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use cnnf_core::policy::Mode;

    use super::*;

    #[test]
    fn stamps_hold_for_one_boot() {
        let dir = tempfile::tempdir().expect("directory");
        let mut slots = Slots::default();
        slots.assign(&ServiceKey::unit("web")).expect("room");
        let ports = HeldPorts::from([((Protocol::Tcp, 80), [ServiceKey::unit("web")].into())]);
        keep_stamps(dir.path(), "boot-1", &slots, &ports, 33).expect("keep");
        assert_eq!(
            load_stamps(dir.path(), "boot-1"),
            Stamps { slots, epochs: 33, ports: ports.clone(), resumed: true }
        );
        assert_eq!(load_stamps(dir.path(), "boot-2"), Stamps { ports, ..Stamps::default() });
    }

    #[test]
    fn what_passed_is_known_for_one_boot() {
        let dir = tempfile::tempdir().expect("directory");
        assert_eq!(load_passed(dir.path(), "boot-1"), 0);
        keep_passed(dir.path(), "boot-1", 7).expect("keep");
        assert_eq!((load_passed(dir.path(), "boot-1"), load_passed(dir.path(), "boot-2")), (7, 0));
    }

    #[test]
    fn what_was_told_of_counters_is_known_for_one_boot() {
        let dir = tempfile::tempdir().expect("directory");
        let told = Told::from([("r1".to_owned(), ((3, 7), 12))]);
        assert_eq!(load_hits(dir.path(), "boot-1"), Told::new());
        keep_hits(dir.path(), "boot-1", &told).expect("keep");
        assert_eq!((load_hits(dir.path(), "boot-1"), load_hits(dir.path(), "boot-2")), (told, Told::new()));
    }

    #[test]
    fn a_trial_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().expect("directory");
        let previous = HostPolicy { generation: 3, mode: Mode::Enforce, ..HostPolicy::default() };
        let on_trial = Standing::OnTrial(Trial { generation: 4, previous, until: Timestamp(77) });
        for standing in [Standing::Good, on_trial, Standing::Reverted { generation: 4 }, Standing::Good] {
            keep_standing(dir.path(), &standing).expect("keep");
            assert_eq!(load_standing(dir.path()), standing);
        }
        fs::write(dir.path().join(STANDING), "{").expect("write");
        assert_eq!(load_standing(dir.path()), Standing::Good);
    }

    #[test]
    fn a_policy_comes_back() {
        let dir = tempfile::tempdir().expect("directory");
        assert_eq!(load_policy(dir.path()), None);
        let policy = HostPolicy { generation: 7, mode: Mode::Enforce, ..HostPolicy::default() };
        keep_policy(dir.path(), &policy).expect("keep");
        assert_eq!(load_policy(dir.path()), Some(policy));
        fs::write(dir.path().join(POLICY), [0xff; 9]).expect("write");
        assert_eq!(load_policy(dir.path()), None);
    }
}
