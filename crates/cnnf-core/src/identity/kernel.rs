//! The resolver against a model of the kernel, over generated lives of control groups, sockets and connections.
//!
//! The kernel's side is real as far as it can be: connections are stamped by the compiled table, as it was when they began. What the host
//! tells of it comes late, in any order, twice or not at all, and the defender is restarted in between. Who owns a socket is known beforehand
//! and never asked of the code under test. The name of an end may be missing; it is never another's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Container, Owner, Resolver, Slots};
use crate::failsafe::Failsafes;
use crate::id::ServiceKey;
use crate::net::Protocol;
use crate::observation::{FlowSeen, Moment, Observation};
use crate::policy::HostPolicy;
use crate::ruleset::{
    FlowState, Hook, HostFacts, Label, Packet, QueueBackend, Ruleset, Slot, Verdict, compile, interpret, state,
};
use crate::time::Timestamp;

const ONE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const TWO: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const OWN: &str = "10.0.0.1";
const QUEUE: u16 = 1;

/// Where groups are made, and whose their sockets are; `None` if each program there is a service of its own.
fn places() -> Vec<(String, Option<ServiceKey>)> {
    let unit = |name| Some(ServiceKey::unit(name));
    let (one, two) = (Some(ServiceKey::container("one")), Some(ServiceKey::container("two")));
    [
        ("/system.slice/web.service".into(), unit("web")),
        ("/system.slice/web.service/worker".into(), unit("web")),
        ("/system.slice/web.service/a/b/c".into(), unit("web")),
        ("/system.slice/web.socket".into(), unit("web")),
        ("/system.slice/system-db.slice/db@1.service".into(), unit("db@1")),
        ("/system.slice/system-db.slice/db@2.service".into(), unit("db@2")),
        ("/system.slice/run.service".into(), unit("run")),
        (format!("/system.slice/run.service/docker/{ONE}"), unit("run")),
        ("/system.slice/containerd.service".into(), unit("containerd")),
        (format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ONE}"), one),
        (format!("/docker/{TWO}"), two.clone()),
        (format!("/docker/{TWO}/system.slice/web.service"), two.clone()),
        (format!("/docker/{TWO}/docker/{ONE}"), two),
        ("/user.slice/user-0.slice/session-1.scope".into(), None),
        ("/user.slice/user-0.slice/user@0.service/app.slice/web.service".into(), None),
        ("/system.slice/cron.service".into(), None),
    ]
    .into()
}

/// What becomes of something that the host tells.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Once,
    Again,
    Lost,
}

/// What user space says of a packet that waits.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Right,
    Unknown,
    /// Nobody listens, or it comes too late.
    None,
}

#[derive(Clone, Debug)]
enum Step {
    Make(Index),
    Remove(Index),
    Open(Index, u8),
    /// Between two sockets here, or one here and one elsewhere.
    Connect(Option<Index>, Option<Index>, Answer, Answer),
    End(Index),
    Tell(Index, Fate),
    /// What is told comes in order, and at once.
    Settle,
    Commit,
    Dump,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![6 => Just(Fate::Once), 1 => Just(Fate::Again), 1 => Just(Fate::Lost)];
    let answer = || prop_oneof![4 => Just(Answer::Right), 1 => Just(Answer::Unknown), 1 => Just(Answer::None)];
    let end = || prop::option::weighted(0.8, any::<Index>());
    let step = prop_oneof![
        4 => any::<Index>().prop_map(Step::Make),
        2 => any::<Index>().prop_map(Step::Remove),
        4 => (any::<Index>(), 0_u8..4).prop_map(|(group, program)| Step::Open(group, program)),
        8 => (end(), end(), answer(), answer()).prop_map(|(c, s, a, b)| Step::Connect(c, s, a, b)),
        2 => any::<Index>().prop_map(Step::End),
        8 => (any::<Index>(), fate).prop_map(|(at, fate)| Step::Tell(at, fate)),
        2 => Just(Step::Settle),
        4 => Just(Step::Commit),
        1 => Just(Step::Dump),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..120)
}

struct Socket {
    /// The ids of its group's levels, for ever: the kernel keeps a removed group as long as it has sockets.
    levels: Vec<u64>,
    owner: ServiceKey,
}

struct Flow {
    id: u32,
    label: Label,
    client: Option<ServiceKey>,
    server: Option<ServiceKey>,
    lives: bool,
}

struct World {
    groups: BTreeMap<String, u64>,
    next: u64,
    sockets: Vec<Socket>,
    flows: Vec<Flow>,
    table: Ruleset,
    told: Vec<Observation>,
    resolver: Resolver,
    kept: Vec<(ServiceKey, u16)>,
    levels: u8,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            groups: BTreeMap::new(),
            next: 1,
            sockets: Vec::new(),
            flows: Vec::new(),
            table: Ruleset::default(),
            told: names(),
            resolver: resolver(Slots::default()),
            kept: Vec::new(),
            levels: 3,
        };
        world.commit();
        world
    }

    fn make(&mut self, path: &str) {
        for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
            let path = &path[..at];
            if !self.groups.contains_key(path) {
                self.groups.insert(path.to_owned(), self.next);
                self.told.push(Observation::CgroupSeen { path: path.to_owned(), id: self.next });
                self.next += 1;
            }
        }
        // a container is called something once it exists
        self.told.extend(names());
    }

    fn remove(&mut self, path: &str) {
        let below = format!("{path}/");
        let gone: Vec<_> = self.groups.extract_if(.., |p, _| p == path || p.starts_with(&below)).collect();
        self.told.extend(gone.into_iter().rev().map(|(_, id)| Observation::CgroupGone { id }));
    }

    fn open(&mut self, path: &str, owner: Option<ServiceKey>, program: u8) {
        if !self.groups.contains_key(path) {
            return;
        }
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
        let levels = ends.map(|at| self.groups[&path[..at]]).collect();
        let owner = owner.unwrap_or_else(|| ServiceKey::program(&format!("/usr/bin/{program}")));
        self.sockets.push(Socket { levels, owner });
    }

    fn commit(&mut self) {
        self.levels = self.levels.max(self.resolver.levels());
        self.keep();
        self.table = compile(
            &HostPolicy::default(),
            &HostFacts {
                services: self.resolver.services(),
                cgroup_levels: self.levels,
                queue: QueueBackend::Native,
                failsafes: Failsafes::with_controller(7443),
                addresses: [OWN.parse().expect("address")].into(),
                udp_ports: BTreeSet::new(),
                epoch: 0,
                log_group: 1,
                identify_queue: QUEUE,
                identify_queues: 1,
                evidence_queue: 2,
                counters: true,
            },
        );
    }

    fn keep(&mut self) {
        self.kept = self.resolver.slots().iter().map(|(key, slot)| (key.clone(), slot.number())).collect();
    }

    fn connect(&mut self, client: Option<&Index>, server: Option<&Index>, answers: [Answer; 2]) {
        let of =
            |index: Option<&Index>| index.filter(|_| !self.sockets.is_empty()).map(|i| i.index(self.sockets.len()));
        let (client, server) = (of(client), of(server));
        let id = u32::try_from(self.flows.len()).expect("few");
        let owner = |end: Option<usize>| end.map(|n| self.sockets[n].owner.clone());
        let flow = Flow { id, label: Label::default(), client: owner(client), server: owner(server), lives: true };
        self.flows.push(flow);
        for (end, hook, answer, moment) in [
            (client, Hook::Output, answers[0], Moment::New),
            (server, Hook::Input, answers[1], if client.is_some() { Moment::Alive } else { Moment::New }),
        ] {
            if let Some(end) = end {
                self.pass(end, hook, answer);
                self.tell(self.flows.len() - 1, moment);
            }
        }
    }

    /// The first packet of the newest flow comes by a hook.
    fn pass(&mut self, socket: usize, hook: Hook, answer: Answer) {
        let Socket { levels, owner } = &self.sockets[socket];
        let flow = self.flows.last_mut().expect("a flow");
        let seen = ends_of(flow);
        let packet = Packet {
            client: seen.0,
            server: seen.1,
            protocol: Protocol::Tcp,
            client_port: 40_000,
            server_port: 80,
            reply: false,
            state: state::NEW,
            tcp_flags: 2,
            socket: Some(levels.clone()),
            local_sender: hook == Hook::Output,
        };
        let mut kernel =
            FlowState { label: flow.label, nobody_listens: matches!(answer, Answer::None), ..FlowState::default() };
        let mut learned = false;
        if interpret(&self.table, hook, &packet, &mut kernel).verdict == Verdict::Queue(QUEUE) {
            let key = if matches!(answer, Answer::Right) { owner.clone() } else { ServiceKey::unknown() };
            let word = self.resolver.learn(&key).word();
            let words = if hook == Hook::Output { [word, 0, 0, 0] } else { [0, word, 0, 0] };
            kernel.pending = Some(Label(words));
            learned = true;
            let _ = interpret(&self.table, hook, &packet, &mut kernel);
        }
        flow.label = kernel.label;
        if learned {
            self.keep();
        }
    }

    fn tell(&mut self, flow: usize, moment: Moment) {
        let flow = &self.flows[flow];
        let (client, server) = ends_of(flow);
        self.told.push(Observation::Flow(FlowSeen {
            at: Timestamp(0),
            id: flow.id,
            moment,
            client,
            client_port: 40_000,
            server,
            server_port: 80,
            protocol: Protocol::Tcp,
            label: flow.label,
            replied: false,
            bytes: None,
        }));
    }

    /// The host tells something; a connection's ends have to be right or without a name.
    fn hear(&mut self, told: &Observation) -> Result<(), TestCaseError> {
        let Observation::Flow(seen) = told else {
            self.resolver.observe(told);
            return Ok(());
        };
        let flow = &self.flows[usize::try_from(seen.id).expect("few")];
        let ends = self.resolver.ends(seen);
        for (said, known) in [(ends.client, &flow.client), (ends.server, &flow.server)] {
            let right = match (&said, known) {
                (Owner::Local(said), Some(known)) => said == known || !said.is_named() && *said != ServiceKey::kernel(),
                (Owner::Unstamped, Some(_)) | (Owner::Remote, None) => true,
                _ => false,
            };
            prop_assert!(right, "{:?} is said of {:?}", said, known);
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let places = places();
        match step {
            Step::Make(at) => self.make(&at.get(&places).0),
            Step::Remove(at) => self.remove(&at.get(&places).0),
            Step::Open(at, program) => {
                let (path, owner) = at.get(&places).clone();
                self.open(&path, owner, *program);
            }
            Step::Connect(client, server, a, b) => self.connect(client.as_ref(), server.as_ref(), [*a, *b]),
            Step::End(at) if !self.flows.is_empty() => {
                let flow = at.index(self.flows.len());
                self.flows[flow].lives = false;
                self.tell(flow, Moment::End);
            }
            Step::Tell(at, fate) if !self.told.is_empty() => {
                let at = at.index(self.told.len());
                let told = if matches!(fate, Fate::Again) { self.told[at].clone() } else { self.told.swap_remove(at) };
                if !matches!(fate, Fate::Lost) {
                    self.hear(&told)?;
                }
            }
            Step::Settle => {
                for told in std::mem::take(&mut self.told) {
                    self.hear(&told)?;
                }
            }
            Step::Commit => self.commit(),
            Step::Dump => {
                let live: Vec<usize> = (0..self.flows.len()).filter(|n| self.flows[*n].lives).collect();
                live.into_iter().for_each(|n| self.tell(n, Moment::Alive));
            }
            Step::Restart => {
                self.resolver = resolver(Slots::restore(self.kept.clone()));
                let groups =
                    self.groups.iter().map(|(path, id)| Observation::CgroupSeen { path: path.clone(), id: *id });
                self.told.extend(groups.chain(names()));
            }
            Step::End(_) | Step::Tell(..) => {}
        }
        Ok(())
    }
}

/// What socket units start, and containers are called.
fn names() -> Vec<Observation> {
    let named = |id, name| Observation::ContainerNamed {
        container: Container::new(id, None).expect("an id"),
        key: ServiceKey::container(name),
    };
    let starts = Observation::Starts { socket: "web".into(), service: ServiceKey::unit("web") };
    vec![starts, named(ONE, "one"), named(TWO, "two")]
}

fn resolver(slots: Slots) -> Resolver {
    let mut resolver = Resolver::new(slots);
    resolver.set_addresses([OWN.parse().expect("address")].into());
    resolver
}

/// Client and server; an end without a socket is elsewhere.
fn ends_of(flow: &Flow) -> (IpAddr, IpAddr) {
    let address = |owner: &Option<ServiceKey>| if owner.is_some() { OWN } else { "10.0.0.2" }.parse().expect("address");
    (address(&flow.client), address(&flow.server))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nobody_is_ever_called_by_another_name(steps in steps()) {
        let mut world = World::new();
        for step in steps.iter().chain([&Step::Dump, &Step::Settle]) {
            world.step(step)?;
        }
    }
}

/// The model tells names at all: with everything told in order each end has its own.
#[test]
fn everybody_has_a_name_when_everything_is_told() {
    for (path, owner) in places() {
        let mut world = World::new();
        world.make(&path);
        world.step(&Step::Settle).expect("right");
        world.commit();
        world.open(&path, owner, 1);
        world.pass_all();
        let Observation::Flow(seen) = world.told.last().expect("a flow").clone() else { panic!("a flow") };
        let owner = Owner::Local(world.sockets[0].owner.clone());
        assert_eq!(world.resolver.ends(&seen).client, owner, "{path}");
        assert_eq!(world.resolver.ends(&seen).server, owner, "{path}");
        assert_ne!(seen.label.client(), Some(Slot::UNKNOWN));
    }
}

impl World {
    /// A connection of the first socket with itself.
    fn pass_all(&mut self) {
        let flow = Flow {
            id: 0,
            label: Label::default(),
            client: Some(self.sockets[0].owner.clone()),
            server: Some(self.sockets[0].owner.clone()),
            lives: true,
        };
        self.flows.push(flow);
        self.pass(0, Hook::Output, Answer::Right);
        self.pass(0, Hook::Input, Answer::Right);
        self.tell(0, Moment::Alive);
    }
}
