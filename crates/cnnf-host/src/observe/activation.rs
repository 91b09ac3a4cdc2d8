//! What systemd's socket units start, from `systemctl`: it needs no bus of ours, and a host without systemd has none of them.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cnnf_core::id::ServiceKey;
use cnnf_core::identity::{SOCKET_PROPERTIES, SocketUnit, socket_units};
use cnnf_core::net::Protocol;
use cnnf_core::observation::Observation;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(2);
/// The longest answer that is read, in bytes: some thousand socket units.
const ANSWER_MAX: u64 = 1 << 20;

/// How long after an answer systemd is not asked again.
const SPACE: Duration = Duration::from_millis(100);

/// The socket units that are known, shared by whoever asks for owners.
#[derive(Debug, Default)]
pub struct SocketUnits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    known: Arc<[SocketUnit]>,
    /// Somebody met one that is not known.
    wanted: bool,
    /// There is a systemd that answers.
    answers: bool,
}

impl SocketUnits {
    /// Asks systemd; says what each unit starts.
    ///
    /// # Errors
    /// There is no systemd, or it gave no answer: what was known stays.
    pub fn read(&self) -> io::Result<Vec<Observation>> {
        self.lock().wanted = false;
        let property = format!("--property={SOCKET_PROPERTIES}");
        let mut command = Command::new("systemctl");
        command.args(["show", "*.socket", &property, "--no-pager"]).stdin(Stdio::null()).stderr(Stdio::null());
        let text = command.stdout(Stdio::piped()).spawn().and_then(output);
        self.lock().answers = text.is_ok();
        let units = socket_units(&text?);
        let starts =
            |unit: &SocketUnit| Observation::Starts { socket: unit.name.clone(), service: unit.service.clone() };
        let said = units.iter().map(starts).collect();
        self.lock().known = units.into();
        self.changed.notify_all();
        Ok(said)
    }

    /// Waits until somebody meets a unit that is not known, but no longer than this.
    pub fn wait_wanted(&self, longest: Duration) {
        std::thread::sleep(SPACE);
        let waited = self.changed.wait_timeout_while(self.lock(), longest, |state| !state.wanted);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Says that there is a unit which is not known yet.
    pub fn want(&self) {
        self.lock().wanted = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the socket unit of this name starts; waits for systemd's answer at most so long if it is a new one.
    #[must_use]
    pub fn started_by(&self, name: &str, wait: Duration) -> Option<ServiceKey> {
        let find = |state: &State| state.known.iter().find(|unit| unit.name == name).map(|unit| unit.service.clone());
        let state = self.lock();
        let found = find(&state);
        if found.is_some() || !state.answers {
            return found;
        }
        drop(state);
        self.want();
        let waited = self.changed.wait_timeout_while(self.lock(), wait, |state| find(state).is_none());
        find(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// What the units start that listen here; none if no unit does, or several for different services.
    #[must_use]
    pub fn started_at(&self, protocol: Protocol, local: SocketAddr) -> Option<ServiceKey> {
        let known = self.lock().known.clone();
        let mut services = known.iter().filter(|unit| unit.has(protocol, local)).map(|unit| &unit.service);
        let first = services.next()?;
        services.all(|other| other == first).then(|| first.clone())
    }
}

/// What the command prints, if it succeeds in time.
fn output(mut child: Child) -> io::Result<String> {
    let stdout = child.stdout.take();
    // read beside it: an answer longer than a pipe holds would never end
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map_or(Ok(0), |out| out.take(ANSWER_MAX).read_to_string(&mut text)).map(|_| text)
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "systemctl gave no answer"));
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let text = reader.join().map_err(|_| io::Error::other("systemctl's answer could not be read"))??;
    if status.success() { Ok(text) } else { Err(io::Error::other(format!("systemctl: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<String> {
        output(Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?)
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        assert_eq!(shell("head -c 300000 /dev/zero | tr '\\0' x").expect("long").len(), 300_000);
        assert!(shell("echo half; exit 1").is_err());
    }

    #[test]
    fn an_address_of_two_services_is_nobodys() {
        let block = |name: &str, starts: &str| {
            format!("Id={name}.socket\nAccept=no\nTriggers={starts}.service\nListen=0.0.0.0:80 (Stream)\n\n")
        };
        let units = SocketUnits::default();
        let at = "10.0.0.1:80".parse().expect("address");
        for (text, service) in [
            (block("a", "web"), Some("unit:web")),
            (block("a", "web") + &block("b", "web"), Some("unit:web")),
            (block("a", "web") + &block("b", "other"), None),
        ] {
            units.lock().known = socket_units(&text).into();
            assert_eq!(units.started_at(Protocol::Tcp, at).as_ref().map(ServiceKey::as_str), service, "{text}");
        }
        let known = |name| units.started_by(name, Duration::from_secs(20));
        assert_eq!(known("b"), Some(ServiceKey::unit("other")));
        assert_eq!(known("c"), None, "without systemd nobody waits");
    }

    #[test]
    fn a_new_unit_is_waited_for() {
        let units = SocketUnits::default();
        units.lock().answers = true;
        assert_eq!(units.started_by("a", Duration::from_millis(1)), None);
        assert!(units.lock().wanted);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| units.started_by("a", Duration::from_secs(20)));
            units.wait_wanted(Duration::from_secs(20));
            units.lock().known = socket_units("Id=a.socket\nTriggers=a.service\n").into();
            units.changed.notify_all();
            assert_eq!(asked.join().expect("thread"), Some(ServiceKey::unit("a")));
        });
    }
}
