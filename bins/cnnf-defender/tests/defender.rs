//! The defender as a program, against a controller that believes everything, on the real kernel.

mod bed;
mod confined;
mod containers;
mod flushes;
mod hostile;
mod kills;
mod naming;
mod older;
mod previews;
mod refused;
mod stopped;
mod truth;

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bed::controller::Controller;
use bed::{Bed, Tree, with_bed, with_bed_of};
use cnnf_core::net::{AddrRange, Ports};
use cnnf_core::policy::{
    Effect, GroupEntry, GroupId, HostPolicy, HostRule, LocalMatch, Mode, OnFailure, PeerMatch, Reason, RuleId,
    ServicePattern,
};
use cnnf_rpc::v1;
use nix::sys::signal::Signal;
use prost::Message as _;

/// Not a test: the body of the processes that the bed starts.
#[test]
fn probe() {
    bed::be_probe(|group, words| {
        flushes::act(words)
            .or_else(|| hostile::act(words))
            .or_else(|| kills::act(words))
            .or_else(|| naming::act(words))
            .or_else(|| older::act(words))
            .or_else(|| previews::act(words))
            .or_else(|| refused::act(words))
            .or_else(|| stopped::act(words))
            .or_else(|| truth::act(group, words))
    });
}

fn policy(generation: u64, mode: Mode, rules: &[(u64, &str, &str, Effect)]) -> HostPolicy {
    let rule = |(id, service, port, effect): &(u64, &str, &str, Effect)| HostRule {
        reason: Reason::Rule { id: RuleId(*id), name: format!("rule {id}"), revision: 9 },
        local: LocalMatch::Service(ServicePattern((*service).to_owned())),
        peer: PeerMatch::Any,
        ports: Ports::parse(&[port]).expect("ports"),
        effect: *effect,
        on_failure: OnFailure::Open,
    };
    HostPolicy { generation, mode, egress: rules.iter().map(rule).collect(), ..HostPolicy::default() }
}

fn enroll(bed: &Bed, controller: &Controller) {
    let to = controller.address.to_string();
    let out = bed.defender(&["enroll", "--controller", &to, "--token", &controller.token, "--label", "env=prod"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn apply(controller: &Controller, policy: &HostPolicy) -> Duration {
    let sent = Instant::now();
    controller.send(policy);
    let at = controller.wait("the status", |heard| {
        heard
            .statuses
            .iter()
            .find(|(_, s)| s.generation == policy.generation && s.outcome == "applied")
            .map(|(at, _)| *at)
    });
    at.duration_since(sent)
}

#[test]
fn root_a_policy_of_more_than_four_megabytes_comes_through() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        let entry = |n: u128| GroupEntry {
            addresses: AddrRange::single(Ipv6Addr::from((0x2001_0db8_u128 << 96) + 2 * n).into()),
            own: false,
            port: None,
        };
        let mut large = policy(2, Mode::Enforce, &[(1, "unit:any", "tcp/80", Effect::Prevent)]);
        large.groups.insert(GroupId(1), (0..250_000).map(entry).collect());
        large.egress[0].peer = PeerMatch::Group(GroupId(1));
        assert!(v1::HostPolicy::from(&large).encoded_len() > 4 << 20);
        println!("in force after {:?}", apply(&controller, &large));
        assert_eq!(controller.heard().hellos.len(), 1);
    });
}

fn exe() -> String {
    format!("exe:{}", std::env::current_exe().expect("this program").display())
}

#[test]
fn root_enrolment_is_whole_or_nothing() {
    with_bed(|bed| {
        let controller = Controller::start();
        let to = controller.address.to_string();
        let fails = |args: &[&str], code: i32, part: &str| {
            let out = bed.defender(args);
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(code), "{text}");
            assert!(text.starts_with("error: ") && text.contains(part), "{text}");
            assert!(!bed.dir.path().join("state/identity").exists());
        };
        let enroll_with =
            |token: &str, part: &str, code| fails(&["enroll", "--controller", &to, "--token", token], code, part);
        enroll_with("nonsense", "this is no token", 2);
        let pin_of_another = Controller::start().token;
        enroll_with(&pin_of_another, "not the one this token is from", 3);
        fails(&["enroll", "--controller", "127.0.0.1:9", "--token", &controller.token], 3, "cannot reach 127.0.0.1:9");
        fails(&["enroll", "--controller", "nowhere", "--token", &controller.token], 2, "write HOST:PORT");
        fails(&["run"], 3, "not enrolled");

        enroll(bed, &controller);
        let out = bed.defender(&["enroll", "--controller", &to, "--token", &controller.token]);
        assert_eq!(out.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&out.stderr).contains("enrolled already, as h-1"));
        let before = std::fs::read(bed.dir.path().join("state/identity/key.der")).expect("key");
        let out = bed.defender(&["enroll", "--force", "--controller", &to, "--token", &controller.token]);
        assert_eq!(out.status.code(), Some(3));
        assert!(String::from_utf8_lossy(&out.stderr).contains("used already"));
        assert_eq!(std::fs::read(bed.dir.path().join("state/identity/key.der")).expect("key"), before);
    });
}

#[test]
fn root_services_and_programs_are_observed() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("session-1.scope", "tcp [::1]:8000"), "ok", "a program waits for its name and goes on");
        let flow = |client: String| {
            controller.wait("the flow", |heard| {
                heard.flows.iter().find(|f| f.client_service == client && f.port == 8000 && f.connections > 0).cloned()
            })
        };
        for client in ["unit:client".to_owned(), exe()] {
            let flow = flow(client);
            assert_eq!((flow.server_service.as_str(), flow.protocol.as_str()), ("unit:server", "tcp"), "{flow:?}");
        }
        controller.wait("the endpoint", |heard| {
            let server = heard.inventory.instances.iter().find(|i| i.service == "unit:server")?;
            server.endpoints.iter().find(|e| e.port == 8000 && e.protocol == "tcp" && e.address.is_empty()).map(drop)
        });
        let hello = controller.wait("hello", |heard| heard.hellos.first().cloned());
        assert_eq!((hello.labels["env"].as_str(), hello.generation), ("prod", 0));
    });
}

/// Services are named, and rules hold, where every new connection has to wait for its name.
fn names_from_the_queue(tree: Tree, config: &str, why: &str) {
    with_bed_of(tree, |bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.configure(config);
        bed.start();
        bed.serve("server.service", 8000);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("session-1.scope", "tcp [::1]:8000"), "ok");
        for client in ["unit:client".to_owned(), exe()] {
            controller.wait("the flow", |heard| {
                let mut flows = heard.flows.iter();
                flows.find(|f| f.client_service == client && f.server_service == "unit:server").map(drop)
            });
        }
        apply(&controller, &policy(1, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused");
        assert_eq!(bed.probe("other.service", "tcp 127.0.0.1:8000"), "ok");
        let text = |args: &[&str]| String::from_utf8_lossy(&bed.defender(args).stdout).into_owned();
        let names = |text: &str| text.lines().find(|line| line.starts_with("names ")).map(str::to_owned);
        let said = || names(&text(&["status"])).expect("names");
        let began = Instant::now();
        // three probes' and the defender's own to its controller, which may be one more by now
        let by_queue = || said().split(", ").nth(1).and_then(|part| part.split(' ').next()?.parse::<u64>().ok());
        while by_queue() < Some(4) {
            assert!(began.elapsed() < Duration::from_secs(10), "{}", text(&["status"]));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(said().contains(" 0 by the kernel"), "{}", said());
        for answer in [text(&["status"]), text(&["doctor"])] {
            assert!(answer.contains(why) && answer.contains("every new connection waits"), "{answer}");
            assert!(answer.contains(" 0 by the kernel") && answer.contains(" by asking processes); "), "{answer}");
        }
    });
}

#[test]
fn root_a_kernel_that_cannot_stamp_is_made_up_for() {
    names_from_the_queue(Tree::Unified, "stamp_by_cgroup = false\n", "stamp_by_cgroup is off");
}

#[test]
fn root_a_host_of_cgroup_v1_is_made_up_for() {
    names_from_the_queue(Tree::Legacy, "", "cgroup v1");
}

#[test]
fn who_reads_no_further_is_no_failure_and_a_full_disk_is() {
    let file = tempfile::NamedTempFile::new().expect("file");
    let check = |out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnnf-defender"));
        let out = command.arg("check-config").arg(file.path()).stdout(out).stderr(Stdio::piped()).output();
        let out = out.expect("defender");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    assert_eq!(check(writer.into()), (Some(0), String::new()));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let (code, said) = check(full.into());
    assert!(code == Some(3) && said.starts_with("error: cannot write the output: "), "{code:?} {said}");
}

#[test]
fn root_rules_alert_and_prevent_with_evidence() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        bed.serve("server.service", 8001);
        let exe = exe();
        let rules = [
            (1, "unit:client", "tcp/8000", Effect::Alert),
            (2, "unit:client", "tcp/8001", Effect::Prevent),
            (3, exe.as_str(), "tcp/8001", Effect::Prevent),
        ];
        assert!(apply(&controller, &policy(1, Mode::Observe, &rules)) < Duration::from_secs(1));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok", "observe refuses nothing");
        assert!(apply(&controller, &policy(2, Mode::Enforce, &rules)) < Duration::from_secs(1));

        let started = Instant::now();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "refused");
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8001"), "refused");
        let event = |kind: &'static str, service: &str, rule: u64| {
            let (at, event) = controller.wait(kind, |heard| {
                let is = |e: &&(Instant, cnnf_rpc::v1::ConnectionEvent)| {
                    e.1.kind == kind && e.1.rule_id == rule && e.1.client.as_ref().is_some_and(|c| c.service == service)
                };
                heard.events.iter().find(is).cloned()
            });
            println!("{kind} of {service} was heard {:?} after the first probe began", at.duration_since(started));
            assert!(at.duration_since(started) < Duration::from_secs(2));
            assert_eq!((event.side.as_str(), event.rule_revision, event.count), ("client", 9, 1), "{event:?}");
            event
        };
        event("would_rule_prevent", "unit:client", 2);
        event("rule_alert", "unit:client", 1);
        let unit = event("rule_prevent", "unit:client", 2);
        let program = event("rule_prevent", &exe, 3);
        for (event, unit) in [(unit, "client.service"), (program, "session-1.scope")] {
            let process = event.process.expect("process");
            assert_eq!((process.unit.as_str(), process.user.as_str()), (unit, "root"), "{process:?}");
            assert!(
                process.pid > 1 && exe.ends_with(&process.exe) && process.cmdline.contains("--exact probe"),
                "{process:?}"
            );
            // the first time a large program is met its digest may take longer than a packet waits, and the evidence says so
            assert!(process.sha256.len() == 64 || process.missing.contains("digest"), "{process:?}");
            assert!(process.network_namespace != 0 && !process.started.is_empty(), "{process:?}");
            assert!(process.parents.first().is_some_and(|parent| parent.pid == std::process::id()), "{process:?}");
            assert_eq!(event.server.expect("server").port, 8001);
        }
        std::thread::sleep(Duration::from_millis(300));
        let alerts = controller.heard().events.iter().filter(|(_, e)| e.kind == "rule_alert").count();
        assert_eq!(alerts, 1, "one connection is one alert");
    });
}

#[test]
fn root_enforcement_does_not_need_the_process() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        bed.serve("server.service", 8001);
        // the first connection makes the client's service known
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok");
        apply(&controller, &policy(5, Mode::Enforce, &[(1, "unit:client", "tcp/8001", Effect::Prevent)]));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "refused");

        bed.signal(Signal::SIGSTOP);
        let start = Instant::now();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok", "what no rule concerns goes on");
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
        bed.signal(Signal::SIGCONT);

        bed.signal(Signal::SIGKILL);
        assert_ne!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        bed.start();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "refused");
        let hello = controller.wait("the second hello", |heard| heard.hellos.get(1).cloned());
        assert_eq!(hello.generation, 5);
        let seqs = controller.heard().seqs;
        let mut sorted = seqs.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len() as u64, *sorted.last().expect("reports"), "no report is missing");

        let out = bed.defender(&["status", "-o", "json"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.contains("\"generationApplied\": 5") && text.contains("\"queue\": "), "{text}");
        assert!(bed.defender(&["doctor"]).status.success());

        bed.signal(Signal::SIGTERM);
        assert_ne!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok", "the table stays");
        bed.start();
        assert!(bed.defender(&["release"]).status.success());
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "ok");
    });
}

#[test]
fn root_with_nobody_to_ask_a_closed_rule_refuses_and_an_open_one_does_not() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.start();
        bed.serve("server.service", 8000);
        bed.serve("server.service", 8001);
        let rules = [(1, "unit:other", "tcp/8000", Effect::Prevent), (2, "unit:other", "tcp/8001", Effect::Prevent)];
        let mut policy = policy(1, Mode::Enforce, &rules);
        policy.egress[0].on_failure = OnFailure::Closed;
        apply(&controller, &policy);
        // a known one, before its control group is gone from the kernel's map
        let knows = |to: &str| bed.probe("client.service", to);
        assert_eq!((knows("tcp 127.0.0.1:8000"), knows("tcp 127.0.0.1:8001")), ("ok".into(), "ok".into()));
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8000"), "ok", "it is asked for");
        bed.signal(Signal::SIGKILL);
        assert_ne!(bed.probe("session-1.scope", "tcp 127.0.0.1:8000"), "ok", "it could be the one");
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8001"), "ok", "that is counted");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok", "nobody needs to ask for it");
        bed.start();
        assert_eq!(bed.probe("session-1.scope", "tcp 127.0.0.1:8000"), "ok");
        let told = |kind: &'static str| {
            move |heard: &bed::controller::Heard| heard.notices.iter().find(|notice| notice.kind == kind).cloned()
        };
        assert!(controller.wait("the notice", told("fail_open")).count >= 1);
    });
}

fn nft(script: &str) {
    let status = std::process::Command::new("nft").arg(script).status().expect("nft");
    assert!(status.success(), "{script}");
}

/// Denies everything while nobody can reach the controller anew: `meanwhile` happens between. The port is back within a minute.
fn a_lock_out_is_undone(meanwhile: impl FnOnce(&mut Bed) + Send) {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.configure("revert_after = 4\n");
        bed.start();
        bed.serve("server.service", 8000);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        let port = controller.address.port();
        nft("add table inet other; add chain inet other o { type filter hook output priority 0; }");
        nft(&format!("add rule inet other o tcp dport {port} ct state new drop"));
        let deny = policy(2, Mode::Enforce, &[(1, "*", "any", Effect::Prevent)]);
        apply(&controller, &deny);
        let began = Instant::now();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused");
        meanwhile(bed);
        while bed.probe("client.service", "tcp 127.0.0.1:8000") != "ok" {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", bed.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("the port was back after {:?} of a trial of 4 s", began.elapsed());
        assert!(began.elapsed() > Duration::from_secs(3), "it was in force until then");
        nft("delete table inet other");
        let notice =
            controller.wait("the notice", |heard| heard.notices.iter().find(|n| n.kind == "reverted").cloned());
        assert!(notice.message.starts_with("generation 2: the controller could not be reached anew"), "{notice:?}");
        let reverted = |heard: &bed::controller::Heard| {
            heard.statuses.iter().any(|(_, s)| s.generation == 2 && s.outcome == "reverted").then_some(())
        };
        controller.wait("the status", reverted);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok", "the controller sends it again, in vain");
        apply(&controller, &policy(3, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused", "one that proves itself holds");
    });
}

#[test]
fn root_a_lock_out_is_undone() {
    a_lock_out_is_undone(|_| {});
}

#[test]
fn root_a_lock_out_is_undone_after_a_kill() {
    a_lock_out_is_undone(|bed| {
        bed.signal(Signal::SIGKILL);
        bed.start();
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "refused", "the trial goes on");
    });
}

#[test]
fn root_who_changes_the_table_is_named_and_the_table_is_back_within_a_second() {
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        bed.configure("own_table = false\n");
        bed.start();
        bed.serve("server.service", 8000);
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        apply(&controller, &policy(2, Mode::Enforce, &[(1, "unit:client", "tcp/8000", Effect::Prevent)]));
        for how in ["flush ruleset", "delete table inet cnnf", "flush chain inet cnnf out"] {
            nft(how);
            let began = Instant::now();
            while bed.probe("client.service", "tcp 127.0.0.1:8000") != "refused" {
                assert!(began.elapsed() < Duration::from_secs(1), "{how}: {}", bed.log());
            }
            println!("{how}: enforced again after {:?}", began.elapsed());
        }
        let notice = controller.wait("the notice", |heard| heard.notices.iter().find(|n| n.kind == "tamper").cloned());
        assert_eq!(notice.message, "'nft' changed the table inet cnnf; it was made anew");
    });
}
