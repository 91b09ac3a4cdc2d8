//! The lab itself, on the real kernel: worlds come up, hold what they promise, and leave nothing behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnnf_lab::{Error, Placement, World};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// nginx on `web` and a bare `app`, no controller.
const TWO_HOSTS: &str = concat!(
    r#"
[controller]
enabled = false
[[host]]
name = "web"
"#,
    include_str!("fixtures/nginx.toml"),
    r#"[[host]]
name = "app"
"#
);

/// Everything of a world that is visible from outside it.
struct Traces {
    dir: PathBuf,
    cgroup: PathBuf,
    networks: Vec<String>,
}

fn network_of(pid: &str) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok().map(|link| link.display().to_string())
}

fn all_pids() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.parse::<u32>().is_ok())
        .collect()
}

fn node_pids(status: &Value) -> Vec<i32> {
    let hosts = status["hosts"].as_array().unwrap();
    let pids = hosts.iter().map(|host| &host["pid"]).chain([&status["bridge"]["pid"]]);
    pids.map(|pid| i32::try_from(pid.as_i64().unwrap()).unwrap()).collect()
}

impl Traces {
    fn of(world: &World) -> Traces {
        let status = world.status();
        let networks = node_pids(&status).iter().map(|pid| network_of(&pid.to_string()).unwrap()).collect();
        let cgroup = PathBuf::from(status["cgroup"].as_str().unwrap());
        assert!(cgroup.is_dir());
        Traces { dir: world.dir().to_owned(), cgroup, networks }
    }

    fn assert_gone(&self) {
        assert!(!self.dir.exists(), "{} is left", self.dir.display());
        assert!(!self.cgroup.exists(), "{} is left", self.cgroup.display());
        for pid in all_pids() {
            let network = network_of(&pid).unwrap_or_default();
            assert!(!self.networks.contains(&network), "process {pid} is left in {network}");
        }
        let dir = self.dir.display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&dir), "a mount is left: {mounts}");
        let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        assert!(!links.contains("@eth0") && !links.contains("master br0"), "a link is left: {links}");
    }
}

fn lab(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnnf-lab"));
    command.arg("--dir").arg(dir).args(arguments).stdin(Stdio::null());
    command
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn unit_cgroup(world: &World, host: &str, unit: &str) -> PathBuf {
    let cgroup = PathBuf::from(world.status()["cgroup"].as_str().unwrap());
    cgroup.join(host).join("system.slice").join(format!("{unit}.service"))
}

#[test]
fn root_the_very_first_packet_arrives_over_v4_and_v6() {
    for (family, address) in [("-4", "10.86.0.1"), ("-6", "fd86::1")] {
        let world = World::up(TWO_HOSTS).unwrap();
        let script = format!("curl {family} -sS --max-time 2 -w '%{{time_connect}} %{{remote_ip}}' http://web/");
        let answer = world.shell("app", &script);
        let (page, rest) = answer.text().split_once('\n').unwrap();
        let (seconds, remote) = rest.split_once(' ').unwrap();
        assert_eq!((page, remote), ("the page", address));
        // A lost first packet would come again after 1 s.
        assert!(seconds.parse::<f64>().unwrap() < 0.5, "connecting took {seconds} s");
        let log = fs::read_to_string(world.service_dir("web", "nginx").join("access.log")).unwrap();
        assert_eq!(log.lines().count(), 1);
    }
}

#[test]
fn root_a_host_looks_like_a_host_of_its_own() {
    let world = World::up(TWO_HOSTS).unwrap();
    let see = |host: &str, script: &str| world.shell(host, script).text().to_owned();
    assert_eq!(see("web", "hostname"), "web");
    assert_eq!(see("web", "cat /proc/1/comm"), "cnnf-lab-init");
    assert_eq!(see("web", "grep ^0:: /proc/1/cgroup"), "0::/init.scope");
    let nginx = world.unit("web", "nginx").report();
    assert_eq!((nginx.state.as_str(), nginx.ready, nginx.starts), ("running", true, 1));
    let pid = nginx.pid.unwrap();
    assert_eq!(see("web", &format!("grep ^0:: /proc/{pid}/cgroup")), "0::/system.slice/nginx.service");
    assert_eq!(see("web", &format!("cat /proc/{pid}/comm")), "nginx");
    assert_ne!(see("web", "cat /etc/machine-id"), see("app", "cat /etc/machine-id"));
    assert_eq!(see("web", "ls /sys/class/net"), "eth0\nlo");
    assert_eq!(see("web", "getent ahosts app | cut -d' ' -f1 | sort -u"), "10.86.0.2\nfd86::2");
    // Private folders: what one host writes, no other and not the machine sees.
    let mark = format!("cnnf-mark-{}", std::process::id());
    for folder in ["/run", "/tmp", "/var/tmp", "/var/lib", "/var/log", "/etc", "/dev/shm"] {
        see("web", &format!("touch {folder}/{mark} && test -e {folder}/{mark}"));
        assert!(!world.shell("app", &format!("test -e {folder}/{mark}")).success(), "{folder} is shared by hosts");
        assert!(!Path::new(folder).join(&mark).exists(), "{folder} is the machine's");
    }
    // The host pid of the unit, seen from the machine, is the same process.
    let status = world.status();
    let outer = status["hosts"][0]["units"][0]["hostPid"].as_i64().unwrap();
    assert_eq!(fs::read_to_string(format!("/proc/{outer}/comm")).unwrap().trim(), "nginx");
}

#[test]
fn root_exec_places_commands_and_passes_on_their_exit_codes() {
    let world = World::up(TWO_HOSTS).unwrap();
    let cgroup = |placement| {
        let output = world.exec("app", placement, &["grep", "^0::", "/proc/self/cgroup"]);
        output.text().to_owned()
    };
    assert_eq!(cgroup(Placement::Session), "0::/user.slice/user-0.slice/session-1.scope");
    assert_eq!(cgroup(Placement::Session), "0::/user.slice/user-0.slice/session-2.scope");
    assert_eq!(cgroup(Placement::Unit("batch")), "0::/system.slice/batch.service");
    assert_eq!(cgroup(Placement::Unit("job@7")), "0::/system.slice/system-job.slice/job@7.service");
    assert_eq!(
        world.exec("web", Placement::Unit("nginx"), &["grep", "^0::", "/proc/self/cgroup"]).text(),
        "0::/system.slice/nginx.service"
    );
    assert_eq!(world.shell("app", "exit 7").code, 7);
    assert_eq!(world.shell("app", "kill -9 $$").code, 128 + 9);
    assert_eq!(world.exec("app", Placement::Session, &["no-such-program"]).code, 127);
    assert_eq!(world.exec("nowhere", Placement::Session, &["true"]).code, 2);
    // Finished sessions and one-off units leave no cgroup, running units keep theirs.
    let host = unit_cgroup(&world, "app", "batch");
    let host = host.parent().unwrap().parent().unwrap().to_owned();
    until("the sessions' cgroups are removed", || {
        !host.join("user.slice/user-0.slice/session-2.scope").exists()
            && !host.join("system.slice/batch.service").exists()
    });
    assert!(unit_cgroup(&world, "web", "nginx").exists());
    // What a session left running keeps its cgroup until it ends.
    world.shell("app", "sleep 0.5 >/dev/null 2>&1 &");
    let left = fs::read_dir(host.join("user.slice/user-0.slice"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .count();
    assert_eq!(left, 1);
    until("the last session's cgroup is removed", || {
        !fs::read_dir(host.join("user.slice/user-0.slice")).unwrap().flatten().any(|entry| entry.path().is_dir())
    });
}

#[test]
fn root_killing_exec_ends_its_command() {
    let world = World::up(TWO_HOSTS).unwrap();
    let mut child = world.spawn("app", Placement::Session, &["sleep", "1000"]);
    // The command is a child of the machine's, not of the host's: who reaps it is not ours to say.
    let runs = || world.shell("app", "ps -C sleep -o stat= | grep -qv Z").success();
    until("sleep runs", runs);
    child.kill().unwrap();
    child.wait().unwrap();
    until("sleep has ended", || !runs());
    // SIGTERM is passed on: the command may still clean up.
    let mut child = world.spawn(
        "app",
        Placement::Session,
        &["sh", "-c", "trap 'exit 5' TERM; sleep 0.1; while :; do sleep 0.05; done"],
    );
    std::thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn root_units_are_restarted_in_a_new_cgroup() {
    let world = World::up(TWO_HOSTS).unwrap();
    let nginx = world.unit("web", "nginx");
    let cgroup = unit_cgroup(&world, "web", "nginx");
    let id = || fs::metadata(&cgroup).unwrap().ino();
    let first = id();
    nginx.restart();
    let second = id();
    assert_ne!(first, second, "systemd makes a new directory, so a new id, with each start");
    assert_eq!(nginx.report().restarts, 0);

    nginx.kill(Signal::SIGKILL);
    until("nginx is back after kill -9", || nginx.report().starts == 3 && nginx.report().ready);
    assert_eq!(nginx.report().restarts, 1);
    assert_eq!(nginx.report().last_exit.as_deref(), Some("signal SIGKILL"));
    assert_ne!(id(), second);
    assert!(world.shell("app", "curl -sS --max-time 2 http://web/").success());

    nginx.kill(Signal::SIGSTOP);
    assert_eq!(world.shell("app", "curl -s --max-time 1 http://web/").code, 28, "a stopped server does not answer");
    nginx.kill(Signal::SIGCONT);
    assert!(world.shell("app", "curl -sS --max-time 2 http://web/").success());

    nginx.kill(Signal::SIGSTOP);
    nginx.stop();
    assert_eq!(nginx.report().state, "inactive");
    assert!(!cgroup.exists());
    assert_eq!(world.shell("app", "curl -s --max-time 2 http://web/").code, 7, "refused");
    nginx.start();
    assert!(world.shell("app", "curl -sS --max-time 2 http://web/").success());
}

#[test]
fn root_a_silent_unit_is_ended_by_its_watchdog() {
    let world = World::up(
        r#"
[controller]
enabled = false
[[host]]
name = "a"
[[host.service]]
unit = "petter"
command = ["perl", "{dir}/pet.pl"]
watchdog = "500ms"
[host.service.files]
"pet.pl" = '''
use IO::Socket::UNIX; use Socket;
my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}) or die "no socket: $!";
die "no limit" unless $ENV{WATCHDOG_USEC} == 500000;
$s->send("READY=1");
while (1) { select(undef, undef, undef, 0.1); $s->send("WATCHDOG=1"); }
'''
"#,
    )
    .unwrap();
    let petter = world.unit("a", "petter");
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(petter.report().starts, 1, "as long as it speaks it lives: {}", world.log("a", "petter"));
    petter.kill(Signal::SIGSTOP);
    let stopped = Instant::now();
    until("it is started again", || petter.report().starts == 2);
    let took = stopped.elapsed();
    assert!(took > Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(petter.report().last_exit.as_deref(), Some("signal SIGKILL"));
}

#[test]
fn root_services_run_as_their_user_in_their_folder() {
    let world = World::up(
        r#"
[controller]
enabled = false
[[host]]
name = "a"
[[host.service]]
unit = "who"
command = ["sh", "-c", "id -un > out; echo $PLACE >> out; cat sub/f >> out; exec sleep 1000"]
user = "nobody"
env = { PLACE = "{dir}" }
files = { "sub/f" = "in {dir}" }
"#,
    )
    .unwrap();
    let out = world.service_dir("a", "who").join("out");
    let inside = "/run/lab/services/who.service";
    until("it has written", || fs::read_to_string(&out).is_ok_and(|text| text.contains("in ")));
    assert_eq!(fs::read_to_string(out).unwrap(), format!("nobody\n{inside}\nin {inside}"));
}

#[test]
fn root_worlds_beside_each_other_do_not_meet() {
    let one = World::up(TWO_HOSTS).unwrap();
    let two = World::up(TWO_HOSTS).unwrap();
    two.unit("web", "nginx").stop();
    assert!(one.shell("app", "curl -sS --max-time 2 http://10.86.0.1/").success());
    assert_eq!(two.shell("app", "curl -s --max-time 2 http://10.86.0.1/").code, 7, "the other world's web answered");
    let traces = Traces::of(&two);
    drop(two);
    traces.assert_gone();
    assert!(one.shell("app", "curl -sS --max-time 2 http://10.86.0.1/").success());
}

#[test]
fn root_down_leaves_nothing_and_may_come_twice() {
    let world = World::up(TWO_HOSTS).unwrap();
    let traces = Traces::of(&world);
    // Something that does not want to go, in a cgroup of its own making.
    world.shell(
        "app",
        "mkdir /sys/fs/cgroup/user.slice/deep; (trap '' TERM HUP; setsid sleep 1000 >/dev/null 2>&1) >/dev/null 2>&1 &",
    );
    assert!(lab(&traces.dir, &["down"]).output().unwrap().status.success());
    traces.assert_gone();
    let again = lab(&traces.dir, &["down"]).output().unwrap();
    assert!(again.status.success() && String::from_utf8_lossy(&again.stdout).contains("no world"));
    for act in [&["status"][..], &["exec", "web", "--", "true"], &["restart", "web", "nginx"], &["ctl", "--", "status"]]
    {
        assert_eq!(lab(&traces.dir, act).output().unwrap().status.code(), Some(3), "{act:?}");
    }
}

#[test]
fn root_down_works_after_every_init_was_killed() {
    let world = World::up(TWO_HOSTS).unwrap();
    let traces = Traces::of(&world);
    for pid in node_pids(&world.status()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    assert!(lab(&traces.dir, &["down"]).output().unwrap().status.success());
    traces.assert_gone();
}

/// Starts `up` of a world that never gets ready, and waits until its unit runs.
fn up_that_hangs(dir: &Path) -> std::process::Child {
    let file = dir.with_extension("toml");
    fs::write(
        &file,
        "[controller]\nenabled = false\n[[host]]\nname = \"a\"\n[[host.service]]\nunit = \"mute\"\n\
         command = [\"sleep\", \"1000\"]\nready = \"tcp/9\"\n",
    )
    .unwrap();
    let owner = std::process::id().to_string();
    let child =
        lab(dir, &["up", "--while", &owner]).arg(&file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("the unit is started", || {
        let state = fs::read_to_string(dir.join("state.json")).unwrap_or_default();
        let cgroup =
            serde_json::from_str::<Value>(&state).ok().and_then(|state| state["cgroup"].as_str().map(PathBuf::from));
        cgroup.is_some_and(|cgroup| cgroup.join("a/system.slice/mute.service").exists())
    });
    child
}

fn begun(dir: &Path) -> Traces {
    let state: Value = serde_json::from_str(&fs::read_to_string(dir.join("state.json")).unwrap()).unwrap();
    let cgroup = PathBuf::from(state["cgroup"].as_str().unwrap());
    let init = fs::read_to_string(cgroup.join("a/init.scope/cgroup.procs")).unwrap();
    // A unit's process passes through init.scope; the init came first.
    let networks = vec![network_of(init.lines().next().unwrap()).unwrap()];
    Traces { dir: dir.to_owned(), cgroup, networks }
}

#[test]
fn root_an_up_that_was_killed_is_cleaned_by_down_or_the_next_up() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("w");
    for next in ["down", "up"] {
        let mut hanging = up_that_hangs(&dir);
        let traces = begun(&dir);
        hanging.kill().unwrap();
        hanging.wait().unwrap();
        assert!(traces.cgroup.exists());
        if next == "down" {
            assert!(lab(&dir, &["down"]).output().unwrap().status.success());
            traces.assert_gone();
        } else {
            let world = World::up_in(TWO_HOSTS, &dir).unwrap();
            assert!(!traces.cgroup.exists());
            assert!(world.shell("app", "curl -sS --max-time 2 http://web/").success());
        }
    }
}

#[test]
fn root_ctrl_c_during_up_takes_down_what_was_begun() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("w");
    let hanging = up_that_hangs(&dir);
    let traces = begun(&dir);
    kill(Pid::from_raw(i32::try_from(hanging.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = hanging.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: interrupted"));
    traces.assert_gone();
}

#[test]
fn root_a_world_ends_with_the_process_it_was_made_for() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("w");
    let file = place.path().join("w.toml");
    fs::write(&file, TWO_HOSTS).unwrap();
    let mut owner = Command::new("sleep").arg("1000").spawn().unwrap();
    let up = lab(&dir, &["up", "--while", &owner.id().to_string()]).arg(&file).output().unwrap();
    assert!(up.status.success(), "{up:?}");
    let status = lab(&dir, &["status", "-o", "json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let cgroup = PathBuf::from(status["cgroup"].as_str().unwrap());
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("the world is gone", || !dir.exists() && !cgroup.exists());
}

#[test]
fn root_what_cannot_work_is_refused_before_anything_starts() {
    let host = "[controller]\nenabled = false\n[[host]]\nname = \"a\"\n[[host.service]]\nunit = \"u\"\n";
    for (text, words) in [
        (format!("{host}command = [\"true\"]\ncolour = \"red\"\n"), "unknown field `colour`"),
        (format!("{host}command = [\"no-such-program\"]\n"), "`no-such-program` of unit u.service on host a"),
        (format!("{host}command = [\"true\"]\nuser = \"nobody-at-all\"\n"), "user `nobody-at-all`"),
    ] {
        match World::up(&text) {
            Err(Error::Usage(got)) => assert!(got.contains(words), "{got}"),
            other => panic!("expected a usage error, got {other:?}"),
        }
    }
    // A folder with something in it is not a world's to take down later.
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("mine");
    fs::create_dir_all(dir.join("hosts")).unwrap();
    let refused = World::up_in(TWO_HOSTS, &dir);
    assert!(matches!(&refused, Err(Error::Usage(text)) if text.contains("no world's folder")), "{refused:?}");
    assert!(lab(&dir, &["down"]).output().unwrap().status.success());
    assert!(dir.join("hosts").is_dir());
}

#[test]
fn root_a_unit_that_fails_at_once_fails_the_world_with_its_words() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("w");
    let world = World::up_in(
        "[controller]\nenabled = false\n[[host]]\nname = \"a\"\n[[host.service]]\nunit = \"bad\"\n\
         command = [\"sh\", \"-c\", \"echo my last words; exit 3\"]\nready = \"tcp/9\"\n",
        &dir,
    );
    match world {
        Err(Error::Failed(text)) => {
            assert!(
                text.contains("bad.service on a") && text.contains("exit code 3") && text.contains("my last words"),
                "{text}"
            );
        }
        other => panic!("expected a failure, got {other:?}"),
    }
    assert!(!dir.exists());
}

#[test]
fn root_a_second_up_over_a_living_world_is_refused() {
    let world = World::up(TWO_HOSTS).unwrap();
    let file = world.dir().with_extension("second.toml");
    fs::write(&file, TWO_HOSTS).unwrap();
    let second = lab(world.dir(), &["up"]).arg(&file).output().unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(second.status.code(), Some(2), "{second:?}");
    assert!(world.shell("app", "curl -sS --max-time 2 http://web/").success());
}
