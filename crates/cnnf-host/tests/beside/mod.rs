//! Rules of others beside ours: what passes is what both let pass, and theirs stay as they are.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use cnnf_core::net::Protocol;
use cnnf_core::policy::resolve;
use cnnf_core::ruleset::{QueueBackend, compile};
use cnnf_host::dataplane::Reconciler;

use crate::bed::{run, with_bed};
use crate::matrix::agent::Probe;
use crate::matrix::{Cell, MORE, NOW, PATIENCE, World, agents, asked, case, cells};

/// How a ruleset is loaded, and itself.
const THEIRS: [(&str, &str, &str); 5] = [
    ("Docker", "iptables-nft-restore", include_str!("docker.rules")),
    ("kube-proxy", "iptables-nft-restore", include_str!("kube-proxy.rules")),
    ("Tailscale", "iptables-nft-restore", include_str!("tailscale.rules")),
    ("firewalld", "nft -f -", include_str!("firewalld.nft")),
    ("default drop", "nft -f -", include_str!("default-drop.nft")),
];

/// Services behind a translated destination, in the far host's words: they are judged by where they are, not by how they are called.
const TRANSLATED: [(&str, &str); 3] =
    [("Docker", "10.98.0.1:8088"), ("kube-proxy", "10.96.0.10:80"), ("kube-proxy", "10.98.0.1:30080")];

fn load(with: &str, rules: &str) {
    use std::io::Write as _;
    let mut child = Command::new("sh").args(["-c", with]).stdin(Stdio::piped()).spawn().expect("sh");
    child.stdin.take().expect("input").write_all(rules.as_bytes()).expect("write");
    assert!(child.wait().expect("wait").success(), "{with}");
}

/// Every table but ours, without counters.
fn theirs() -> String {
    let list = "nft list tables | grep -v 'inet cnnf$' | while read -r what; do nft -s list $what 2>/dev/null; done";
    let out = Command::new("sh").args(["-c", list]).output().expect("sh");
    String::from_utf8(out.stdout).expect("text")
}

#[test]
fn root_beside_the_rules_of_others_what_both_let_pass_passes_and_theirs_stay() {
    with_bed("beside", |bed| {
        bed.there(|| run("ip addr add 10.98.0.3/24 dev v1; ip addr add fd98::3/64 dev v1 nodad"));
        run("ip route add 10.96.0.0/16 via 10.98.0.2");
        let mut agents = agents(bed);
        let plain: Vec<Cell> = cells();
        let cases = [
            case("nothing", &[]),
            case("services to a service's ports", &["unit:* -> unit:db tcp/8080 udp/54 prevent"]),
            case(
                "a service and its clients",
                &["unit:other -> any any prevent", "far -> unit:server tcp/82 udp prevent"],
            ),
        ];
        let mut wrong = Vec::new();
        let mut tried = 0;
        for (epoch, (name, with, rules)) in (0_u8..).step_by(cases.len()).zip(THEIRS) {
            load(with, rules);
            let listed = theirs();
            let mut all: Vec<(Cell, Option<SocketAddr>)> = plain.iter().map(|cell| (cell.clone(), None)).collect();
            // what is judged is where the connection goes in the end
            let db: SocketAddr = "10.98.0.2:8080".parse().expect("address");
            for (_, to) in TRANSLATED.iter().filter(|(of, _)| *of == name) {
                for client in ["client", "other", "nobody"] {
                    let (from, protocol) = ("10.98.0.1".parse().expect("address"), Protocol::Tcp);
                    let probe = Probe { protocol, from, to: to.parse().expect("address") };
                    all.push((Cell { client: Some(client), server: None, probe }, Some(db)));
                }
            }
            let probes: Vec<&Cell> = all.iter().map(|(cell, _)| cell).collect();
            let mut alone = asked(&mut agents, &probes, PATIENCE);
            // once more: on a slow machine the first packets after a change can be late
            let late: Vec<usize> = (0..all.len()).filter(|n| alone[*n] == "timeout").collect();
            let again: Vec<&Cell> = late.iter().map(|n| probes[*n]).collect();
            for (n, answer) in late.into_iter().zip(asked(&mut agents, &again, PATIENCE)) {
                alone[n] = answer;
            }
            let mut reconciler = Reconciler::open(QueueBackend::None).expect("open");
            let mut counts = String::new();
            for (n, case) in (0_u8..).zip(&cases) {
                let world = World::new(case, bed, epoch + n);
                reconciler
                    .set_desired(compile(&resolve(&world.policy, &world.directory, &world.this, NOW, 1), &world.facts));
                reconciler.reconcile().expect("the kernel takes the table");
                let means = |cell: &Cell, judged: Option<SocketAddr>| {
                    let to = judged.unwrap_or(cell.probe.to);
                    world.predicted(&Cell { probe: Probe { to, ..cell.probe.clone() }, ..cell.clone() }) == "ok"
                };
                let mut both = asked(&mut agents, &probes, PATIENCE);
                let late: Vec<usize> = (0..all.len())
                    .filter(|n| both[*n] == "timeout" && alone[*n] == "ok" && means(&all[*n].0, all[*n].1))
                    .collect();
                let again: Vec<&Cell> = late.iter().map(|n| probes[*n]).collect();
                for (n, answer) in late.into_iter().zip(asked(&mut agents, &again, MORE)) {
                    both[n] = answer;
                }
                let mut passed = [0; 4];
                for (((cell, judged), alone), both) in all.iter().zip(&alone).zip(&both) {
                    let (theirs, ours) = (alone == "ok", means(cell, *judged));
                    passed[usize::from(theirs) * 2 + usize::from(ours)] += 1;
                    tried += 1;
                    if (both == "ok") != (theirs && ours) {
                        wrong.push(format!(
                            "{name}, {}: {:?} {:?}: {both}; they alone: {alone}, we: {ours}",
                            case.name, cell.client, cell.probe
                        ));
                    }
                }
                let [neither, only_we, only_they, pass] = passed;
                counts += &format!("  {pass} pass, {only_we} only we, {only_they} only they, {neither} neither");
            }
            assert_eq!(theirs(), listed, "{name}: their rules were changed");
            reconciler.release().expect("release");
            assert_eq!(theirs(), listed, "{name}: their rules were changed");
            println!("{name:<14}{counts}");
            run("nft flush ruleset");
        }
        println!("{tried} cells, {} wrong", wrong.len());
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}
