//! The ways of filtering that are measured beside each other.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cnnf_core::policy::HostPolicy;
use cnnf_core::ruleset::{QueueBackend, compile};
use cnnf_host::dataplane::{
    Answer, FirstPacket, Reconciler, Released, Resolved, TableSocket, WAITING_MAX, WaitingPacket, WaitingPackets,
};
use cnnf_host::observe::connections::Connections;
use cnnf_host::observe::containers::Containers;
use cnnf_host::observe::evidence::Descriptions;
use cnnf_host::observe::owner::Owners;
use cnnf_netlink::conntrack::{Events, Groups as EventGroups};
use cnnf_netlink::nfqueue::{Decision, Queue, QueueSpec, Verdict};
use cnnf_netlink::nft::{BaseHook, Batch, CtKey, Expr, Hook, Nft, QueueTarget, Reg, TableFlags, ct_state};
use cnnf_netlink::wait_readable;

use crate::Fallible;
use crate::lane::{Groups, Lane, run};
use crate::table;

const WAIT: Duration = Duration::from_millis(50);
/// How long the defender lets connections gather before it reads them, as nothing waits for them.
const GATHER: Duration = Duration::from_millis(10);
/// How often the defender looks whether its table is as it left it.
const LOOK: Duration = Duration::from_millis(50);
/// The niceness of its threads for which packets wait.
const URGENT: i32 = -15;
/// The queue of the smallest loop.
const SMALLEST: u16 = 7;

/// What filters on a lane; ends with this.
#[derive(Default)]
pub(crate) struct Way {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Fallible<()>>>,
    child: Option<(Child, PathBuf)>,
}

impl Way {
    /// A thread on the lane's client that does `step` again and again, with what `open` opened.
    fn work<T>(
        &mut self,
        lane: &Lane,
        open: impl FnOnce() -> Fallible<T> + Send + 'static,
        mut step: impl FnMut(&mut T) -> Fallible<()> + Send + 'static,
    ) -> Fallible<()> {
        let stop = self.stop.clone();
        let (tx, rx) = std::sync::mpsc::channel();
        let thread = lane.thread(move || {
            let mut opened = open().inspect_err(|_| {
                let _ = tx.send(false);
            })?;
            tx.send(true)?;
            while !stop.load(Ordering::Relaxed) {
                step(&mut opened)?;
            }
            Ok(())
        })?;
        if !rx.recv()? {
            return Err(thread.join().map_err(|_| "a thread panicked")?.err().unwrap_or_else(|| "nothing".into()));
        }
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("while measuring: {error}"),
                Err(_) => eprintln!("a thread panicked"),
            }
        }
        if let Some((mut child, folder)) = self.child.take() {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.id().cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            );
            std::thread::sleep(Duration::from_millis(200));
            let _ = child.kill();
            let _ = child.wait();
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// As many chains as ours has, at the same hooks, and all of them accept what comes: less than this no table can cost.
pub(crate) fn accept(lane: &Lane) -> Fallible<Way> {
    lane.here(|| {
        run("nft -f - <<'EOF'
table inet t {
    chain o { type filter hook output priority -5; accept; }
    chain lo { type filter hook output priority -4; accept; }
    chain i { type filter hook input priority -5; accept; }
    chain li { type filter hook input priority -4; accept; }
}
EOF")
    })?;
    Ok(Way::default())
}

/// Connections are tracked, and a bare loop reads their events.
pub(crate) fn conntrack(lane: &Lane) -> Fallible<Way> {
    let mut way = Way::default();
    lane.here(|| {
        run("nft -f - <<'EOF'
table inet t {
    chain o { type filter hook output priority 0; ct state established,related accept; ct state new accept; }
    chain i { type filter hook input priority 0; ct state established,related accept; }
}
EOF")
    })?;
    way.work(
        lane,
        || Ok(Events::open(EventGroups::ALL)?),
        |events| {
            if wait_readable(&*events, WAIT)? {
                events.recv(|_| ())?;
            }
            Ok(())
        },
    )?;
    Ok(way)
}

/// What the defender needs to find out whose a packet is.
struct Desk {
    owners: Owners,
    released: Released,
    descriptions: Descriptions,
    containers: Containers,
}

/// Our table, and our reader of events. With `queue` what it cannot attribute waits, and is attributed.
pub(crate) fn ours(lane: &Lane, groups: &Groups, queue: QueueBackend) -> Fallible<Way> {
    ours_with(&table::policy()?, lane, groups, queue)
}

/// The same under another policy.
pub(crate) fn ours_with(policy: &HostPolicy, lane: &Lane, groups: &Groups, queue: QueueBackend) -> Fallible<Way> {
    let mut way = Way::default();
    let table = compile(policy, &table::facts(groups.service_id()?, groups.levels()?, queue)?);
    // as the defender does it: the table belongs to it, and answers go through the same socket
    let (socket, reconciler) = lane.here(|| {
        let socket = TableSocket::open(Nft::open()?.probe()?.owner_persist)?;
        let mut reconciler = Reconciler::over(socket.clone(), queue)?;
        reconciler.set_desired(table);
        reconciler.reconcile()?;
        Ok((socket, reconciler))
    })?;
    // which hears of each change, and looks as often
    way.work(
        lane,
        || Ok(reconciler),
        |reconciler| {
            std::thread::sleep(LOOK);
            // under so many changes a listing may never be whole; the defender warns and looks again
            let _ = reconciler.check();
            Ok(())
        },
    )?;
    way.work(
        lane,
        || Ok(Connections::open()?),
        |connections| {
            if wait_readable(&*connections, WAIT)? {
                std::thread::sleep(GATHER);
                connections.read()?;
            }
            Ok(())
        },
    )?;
    if queue != QueueBackend::None {
        let open = move || {
            rustix::process::nice(URGENT)?;
            let (owners, containers) = (Owners::open(Arc::default(), Arc::default())?, Containers::default());
            let released = Released::over(socket);
            let desk = Desk { owners, released, descriptions: Descriptions::default(), containers };
            Ok((WaitingPackets::open(table::IDENTIFY, true, WAITING_MAX)?, desk, table::program_slot()?))
        };
        way.work(lane, open, |(queue, desk, slot)| {
            if !wait_readable(&*queue, WAIT)? {
                return Ok(());
            }
            let mut resolved = Vec::new();
            for WaitingPacket { id, packet, original, ifindex, .. } in queue.read()? {
                let FirstPacket { protocol, client, server } = packet;
                let owner = desk.owners.of_connection(protocol, client, server, ifindex);
                let Some(holder) = owner.holder else {
                    return Err(format!("nobody holds the socket: {}", owner.missing).into());
                };
                black_box(desk.descriptions.of(&holder, &desk.containers));
                let client = Some(*slot);
                desk.released.resolved(&[Resolved { packet: original, client, server: None }])?;
                queue.answer(&[(id, Answer::Repeat)])?;
                resolved.push(original);
            }
            Ok(desk.released.forget(&resolved)?)
        })?;
    }
    Ok(way)
}

/// How this kernel queues.
pub(crate) fn queue_backend() -> Fallible<QueueBackend> {
    let features = Nft::open()?.probe()?;
    Ok(match (features.native_queue, features.xt_queue) {
        (true, _) => QueueBackend::Native,
        (false, true) => QueueBackend::Xt,
        (false, false) => QueueBackend::None,
    })
}

/// Every first packet waits in a queue for a loop that accepts it: less than this no firewall with a queue can do.
pub(crate) fn smallest_queue(lane: &Lane, queue: QueueBackend) -> Fallible<Way> {
    let mut way = Way::default();
    way.work(
        lane,
        || Ok(Queue::bind(&QueueSpec { num: SMALLEST, uid_gid: false, max_len: 1024, ..QueueSpec::default() })?),
        |queue| {
            if wait_readable(&*queue, WAIT)? {
                let mut decisions = Vec::new();
                queue.recv(64, |packet| decisions.push(Decision::new(packet.id, Verdict::Accept)))?;
                queue.decide(&decisions)?;
            }
            Ok(())
        },
    )?;
    lane.here(|| {
        let target = QueueTarget { num: SMALLEST, total: 1, bypass: true, fanout: false };
        let mut batch = Batch::new("smallest");
        batch.add_table(TableFlags::default());
        batch.add_chain("out", Some(BaseHook { hook: Hook::Output, priority: 0 }));
        let matches = [
            Expr::ct(CtKey::State, Reg::word(0)),
            Expr::and(Reg::word(0), ct_state::NEW.to_ne_bytes()),
            Expr::neq(Reg::word(0), [0; 4]),
            if queue == QueueBackend::Native { Expr::Queue(target) } else { Expr::XtQueue(target) },
        ];
        batch.add_rule("out", &matches, None);
        Nft::open()?.commit(&batch, None)?;
        Ok(())
    })?;
    Ok(way)
}

/// OpenSnitch as Debian packages it, with its rules for iptables and processes found in /proc. `None` where it is not installed.
pub(crate) fn opensnitch(lane: &Lane) -> Fallible<Option<Way>> {
    let installed =
        Command::new("sh").args(["-c", "command -v opensnitchd iptables"]).stdout(Stdio::null()).status()?;
    if !installed.success() {
        return Ok(None);
    }
    let folder = std::env::temp_dir().join(format!("cnnf-bench-opensnitch-{}", std::process::id()));
    let place = folder.display();
    run(&format!("mkdir -p {place}/etc/rules; cp /etc/opensnitchd/system-fw.json {place}/etc/"))?;
    fs::write(
        folder.join("etc/default-config.json"),
        format!(
            r#"{{"Server": {{"Address": "unix://{place}/nobody.sock", "LogFile": "{place}/log"}}, "DefaultAction": "allow",
"DefaultDuration": "once", "InterceptUnknown": false, "ProcMonitorMethod": "proc", "LogLevel": 2,
"Firewall": "iptables", "Stats": {{"MaxEvents": 150, "MaxStats": 25}}}}"#
        ),
    )?;
    // its configuration has one place, so it gets a view of the file system in which ours is there
    let script = format!(
        "mount --bind {place}/etc /etc/opensnitchd; exec opensnitchd -rules-path /etc/opensnitchd/rules -process-monitor-method proc"
    );
    let child = lane.here(|| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", &script]).stdin(Stdio::null());
        Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    })?;
    let mut way = Way::default();
    way.child = Some((child, folder));
    let begin = Instant::now();
    let listens = || {
        lane.here(|| run("iptables -t mangle -S OUTPUT | grep -q NFQUEUE; grep -q . /proc/thread-self/net/netfilter/nfnetlink_queue"))
    };
    while listens().is_err() {
        if begin.elapsed() > Duration::from_secs(15) {
            return Err("opensnitchd installs no rule".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    Ok(Some(way))
}
