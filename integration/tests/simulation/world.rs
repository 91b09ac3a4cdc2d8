//! A life of a fleet: what happens, and in which order.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cnnf_controller::simulation::{Attached, LATER, Simulated};
use cnnf_core::net::Protocol;
use cnnf_core::policy::Mode;
use cnnf_core::ruleset::Opening;
use cnnf_core::time::Timestamp;
use cnnf_defender::simulation::LINGERS;
use cnnf_rpc::v1;
use cnnf_rpc::v1::controller_message::Body as Down;
use cnnf_rpc::v1::defender_message::Body as Up;

use crate::check;
use crate::host::Host;
use crate::lived::Lived;
use crate::numbers::Numbers;
use crate::rules;
use crate::stream::Stream;

/// When it begins: late enough that no clock runs before the epoch, in milliseconds.
const BEGIN: u64 = 1_800_000_000_000;
/// Steps of an eventful life.
const EVENTFUL: u64 = 150;
/// How far a clock may go wrong, in milliseconds.
const SKEW: u64 = 3_600_000;

/// The fleet.
pub(crate) struct World {
    numbers: Numbers,
    now: u64,
    folder: tempfile::TempDir,
    controller: Option<Simulated>,
    hosts: Vec<Host>,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    next_flow: u32,
    /// The newest generation that the controller gave each host.
    given: Vec<u64>,
    ticked: u64,
    distributed: u64,
    aloud: bool,
    /// Whether the network may lose a policy in the middle of a stream, which none should.
    loses: bool,
    lived: Lived,
}

impl World {
    pub(crate) fn new(seed: u64, aloud: bool) -> Self {
        let mut numbers = Numbers::new(seed);
        // in memory, where there is such a place: what is synced is not what is tried here
        let shm = std::path::Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let controller = Simulated::create(folder.path(), Timestamp(BEGIN));
        for (name, value) in [("learn_for", "3s"), ("dry_run_for", "2s")] {
            controller.set(name, value);
        }
        if numbers.once_in(2) {
            controller.set("anomaly_effect", "prevent");
        }
        if numbers.once_in(2) {
            // rules alone: where models judge, every move concerns everybody
            controller.set("learning", "off");
        }
        let mut hosts = Vec::new();
        for n in 1..=3 + u8::try_from(numbers.below(4)).expect("few") {
            let labels = if n % 2 == 0 { "env=prod" } else { "" };
            let id = controller.enrol(&format!("h{n}"), labels, Timestamp(BEGIN));
            hosts.push(Host::new(id, n, folder.path()));
        }
        let given = vec![0; hosts.len()];
        let mut world = Self {
            numbers,
            now: BEGIN,
            folder,
            controller: Some(controller),
            hosts,
            streams: BTreeMap::new(),
            next_stream: 1,
            next_flow: 1,
            given,
            ticked: BEGIN,
            distributed: BEGIN,
            aloud,
            loses: true,
            lived: Lived::default(),
        };
        for host in &mut world.hosts {
            for _ in 0..3 {
                host.change_service(&mut world.numbers, BEGIN);
            }
            host.start(BEGIN);
        }
        world
    }

    /// Lives, heals, and looks whether all is well.
    pub(crate) fn live(mut self) -> Lived {
        for _ in 0..EVENTFUL {
            self.happen();
            let millis = 50 + 50 * self.numbers.below(4);
            self.step(millis);
        }
        self.heal();
        // a policy that was undone on its host stays so until the next one: here it is
        let rules =
            if self.numbers.once_in(2) { rules::any(&mut self.numbers) } else { rules::narrow(&mut self.numbers) };
        self.set_rules(rules);
        for n in 0..self.hosts.len() {
            self.set_mode(n, Mode::Observe);
        }
        // long enough for a trial and for a stream that hangs
        self.wait(60_000);
        // from here on only those hear of a change whom it concerns
        for _ in 0..6 {
            let n = self.numbers.index(self.hosts.len());
            let said = self.hosts[n].change_service(&mut self.numbers, self.now);
            self.say(&said);
            self.step(300);
        }
        // a service that went away is said to listen while it LINGERS; whom that concerns less hears of it LATER
        self.wait(u64::try_from((LINGERS + LATER).as_millis()).expect("short") + 5_000);
        self.settle();
        let controller = self.controller.as_ref().expect("it runs");
        check::reports_count_once(&self.hosts, controller);
        check::states_have_converged(&self.hosts, controller, self.now);
        self.lived
    }

    fn say(&self, what: &str) {
        if self.aloud {
            println!("{:>7} {what}", self.now - BEGIN);
        }
    }

    /// Nothing happens for so long.
    fn wait(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.step(500);
        }
    }

    /// Something happens.
    fn happen(&mut self) {
        let n = self.numbers.index(self.hosts.len());
        match self.numbers.below(60) {
            0..30 => self.connect(n),
            30..36 => {
                let said = self.hosts[n].change_service(&mut self.numbers, self.now);
                self.say(&said);
            }
            36..40 => {
                let rules = rules::any(&mut self.numbers);
                self.set_rules(rules);
            }
            40..42 => {
                let mode = *self.numbers.pick(&[Mode::Observe, Mode::Enforce, Mode::Enforce]);
                self.set_mode(n, mode);
            }
            42..45 => self.part(n),
            45..48 => self.break_stream(n),
            48..51 => {
                self.say(&format!("h{}'s defender is killed", n + 1));
                self.lived.kills += 1;
                self.let_go(n);
                self.hosts[n].kill();
                if !self.numbers.once_in(3) {
                    self.hosts[n].start(self.now);
                }
            }
            51 => self.reboot(n),
            52 => self.kill_controller(),
            53..56 => {
                let skew = self.numbers.below(2 * SKEW);
                self.hosts[n].skew = i64::try_from(skew).expect("small") - i64::try_from(SKEW).expect("small");
                self.say(&format!("h{}'s clock is {} ms ahead", n + 1, self.hosts[n].skew));
            }
            _ => {
                if self.hosts[n].defender.is_none() {
                    self.hosts[n].start(self.now);
                }
                if self.controller.is_none() {
                    self.start_controller();
                }
            }
        }
    }

    fn set_rules(&mut self, rules: Vec<v1::Rule>) {
        if let Some(controller) = &self.controller {
            self.say(&format!("{} rules", rules.len()));
            // what is refused is refused: a name that two services have, say
            let _ = controller.set_rules(rules, Timestamp(self.now));
        }
    }

    fn set_mode(&mut self, n: usize, mode: Mode) {
        if let Some(controller) = &self.controller {
            self.say(&format!("h{} is to {mode}", n + 1));
            controller.set_mode(&self.hosts[n].id, mode);
        }
    }

    fn part(&mut self, n: usize) {
        let long = self.numbers.below(90_000);
        self.say(&format!("h{} is cut off for {long} ms", n + 1));
        self.lived.partings += 1;
        self.hosts[n].parted_until = self.now + long;
    }

    /// The defender gives its stream up; what was on its way may still arrive, or not.
    fn break_stream(&mut self, n: usize) {
        let lost = self.numbers.once_in(2);
        self.say(&format!("h{}'s stream breaks, what was on its way is {}", n + 1, if lost { "lost" } else { "late" }));
        if lost && let Some(stream) = self.hosts[n].stream.and_then(|number| self.streams.get_mut(&number)) {
            stream.lose();
        }
        self.let_go(n);
    }

    fn let_go(&mut self, n: usize) {
        if let Some(stream) = self.hosts[n].stream.take().and_then(|number| self.streams.get_mut(&number)) {
            stream.held = false;
        }
        self.hosts[n].retry_at = self.now + self.numbers.below(3_000);
    }

    /// A host is down for longer than anything is on its way.
    fn reboot(&mut self, n: usize) {
        self.say(&format!("h{} reboots", n + 1));
        self.lived.reboots += 1;
        self.let_go(n);
        for stream in self.streams.values_mut().filter(|stream| stream.host == n) {
            stream.lose();
            stream.ended |= stream.attached.is_none();
        }
        self.hosts[n].reboot(self.now);
    }

    fn kill_controller(&mut self) {
        self.say("the controller is killed");
        self.lived.controller_kills += 1;
        for stream in self.streams.values_mut() {
            stream.attached = None;
            stream.ended = true;
        }
        self.controller = None;
        if !self.numbers.once_in(3) {
            self.start_controller();
        }
    }

    fn start_controller(&mut self) {
        self.controller = Some(Simulated::open(self.folder.path(), Timestamp(self.now)));
    }

    /// A connection is opened from a host, or from outside to it.
    fn connect(&mut self, n: usize) {
        let to = self.numbers.index(self.hosts.len());
        let Some((server, port)) = self.hosts[to].any_server(&mut self.numbers) else { return };
        let id = self.next_flow;
        self.next_flow += 1;
        let bytes = self.numbers.below(10_000);
        let opening = |client: IpAddr, server: IpAddr| Opening {
            client,
            server,
            protocol: Protocol::Tcp,
            client_port: 30_000 + u16::try_from(id % 30_000).expect("small"),
            server_port: port,
            local_client: None,
            local_server: None,
        };
        let address = self.hosts[to].address;
        let at_server =
            |client: IpAddr, host: &Host| Opening { local_server: Some(host.end(&server)), ..opening(client, address) };
        let passed = if self.numbers.once_in(4) || to == n {
            let outside = Ipv4Addr::new(192, 0, 2, u8::try_from(self.numbers.below(250)).expect("small")).into();
            let arriving = at_server(outside, &self.hosts[to]);
            self.hosts[to].meet(&arriving, id, bytes, true, self.now)
        } else {
            let Some(client) = self.hosts[n].any_service(&mut self.numbers) else { return };
            let from = self.hosts[n].address;
            let leaving = Opening { local_client: Some(self.hosts[n].end(&client)), ..opening(from, address) };
            let arriving = at_server(from, &self.hosts[to]);
            // who is refused at either end has no connection; where both have a defender only the client's counts
            let arrives = self.hosts[to].meet(&arriving, id, bytes, false, self.now);
            self.hosts[n].meet(&leaving, id, bytes, arrives, self.now) && arrives
        };
        self.lived.connections += u64::from(passed);
        self.lived.refused += u64::from(!passed);
    }

    /// Time passes.
    fn step(&mut self, millis: u64) {
        self.now += millis;
        for n in 0..self.hosts.len() {
            let host = &mut self.hosts[n];
            host.end_some(&mut self.numbers, self.now);
            host.with(self.now, |defender, kernel, at| defender.tick(kernel, at));
            self.prove(n);
            self.reconnect(n);
            self.send(n);
        }
        let numbers: Vec<u64> = self.streams.keys().copied().collect();
        for number in numbers {
            self.carry(number);
        }
        self.streams.retain(|_, stream| stream.held || (!stream.ended && stream.is_busy()));
        if let Some(controller) = &mut self.controller {
            if self.now - self.ticked >= 1_000 {
                controller.tick(Duration::from_millis(self.now - self.ticked), Timestamp(self.now));
                self.ticked = self.now;
            }
            if self.now - self.distributed >= 200 {
                controller.distribute(Timestamp(self.now));
                self.distributed = self.now;
            }
            for (host, given) in self.hosts.iter().zip(&mut self.given) {
                let generation = controller.generation(&host.id);
                assert!(generation >= *given, "{}: the controller gives {generation} after {given}", host.name);
                *given = generation;
            }
        }
        for host in &mut self.hosts {
            check::the_table(host);
        }
    }

    fn is_parted(&self, n: usize) -> bool {
        self.hosts[n].parted_until > self.now
    }

    /// A policy on trial is proved by a new connection, where there can be one.
    fn prove(&mut self, n: usize) {
        let proving = self.hosts[n].defender.as_ref().and_then(|defender| defender.proving());
        if let Some(generation) = proving.filter(|_| self.controller.is_some() && !self.is_parted(n))
            && self.numbers.once_in(4)
        {
            self.lived.trials += 1;
            self.hosts[n].with(self.now, |defender, kernel, at| defender.proved(generation, kernel, at));
        }
    }

    /// A defender without a stream begins one.
    fn reconnect(&mut self, n: usize) {
        let ended = self.hosts[n].stream.and_then(|number| self.streams.get(&number)).is_none_or(|stream| stream.ended);
        if ended && self.hosts[n].stream.is_some() && !self.is_parted(n) {
            self.let_go(n);
        }
        let host = &mut self.hosts[n];
        if host.stream.is_some()
            || self.controller.is_none()
            || host.parted_until > self.now
            || host.retry_at > self.now
        {
            return;
        }
        let name = host.name.clone();
        let Some(hello) = host.with(self.now, |defender, _, at| defender.hello(&name, at)) else { return };
        let mut stream = Stream::new(n);
        stream.say(Up::Hello(hello), &mut self.numbers, self.now);
        host.stream = Some(self.next_stream);
        self.streams.insert(self.next_stream, stream);
        self.next_stream += 1;
    }

    /// What a defender has to say goes up.
    fn send(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        let Some(stream) = host.stream.and_then(|number| self.streams.get_mut(&number)) else { return };
        let sent = stream.sent;
        let Some((reports, statuses)) =
            host.with(self.now, |defender, _, _| (defender.reports(sent, 16), defender.statuses()))
        else {
            return;
        };
        for report in reports {
            stream.sent = report.seq;
            stream.say(Up::Report(report), &mut self.numbers, self.now);
        }
        for status in statuses {
            stream.say(Up::ApplyStatus(status), &mut self.numbers, self.now);
        }
    }

    /// What is on its way on a stream arrives.
    fn carry(&mut self, number: u64) {
        let Some(mut stream) = self.streams.remove(&number) else { return };
        let n = stream.host;
        // what of a stream was on its way before its host was cut off arrives after
        if !self.is_parted(n) {
            if let Some(controller) = &self.controller
                && !stream.ended
            {
                let result = up(&mut stream, controller, &self.hosts[n], &mut self.numbers, &mut self.lived, self.now);
                if let Err(why) = result {
                    self.say(&format!("the controller ends a stream of h{}: {why}", n + 1));
                    if let Some(attached) = stream.attached.take() {
                        controller.detach(&attached);
                    }
                    stream.ended = true;
                }
            }
            while let Some(message) = stream.told(self.now) {
                let is_policy = !matches!(message.body, Some(Down::Acknowledged(_)));
                if !stream.held || (self.loses && is_policy && self.numbers.once_in(20)) {
                    continue;
                }
                let answer = self.hosts[n].with(self.now, |defender, kernel, at| defender.take(message, kernel, at));
                if let Some(answer) = answer.flatten() {
                    self.lived.wanted += 1;
                    stream.say(answer, &mut self.numbers, self.now);
                }
            }
        }
        self.streams.insert(number, stream);
    }

    /// Everything works again.
    fn heal(&mut self) {
        self.say("all heals");
        self.loses = false;
        if self.controller.is_none() {
            self.start_controller();
        }
        for n in 0..self.hosts.len() {
            self.hosts[n].parted_until = 0;
            self.hosts[n].skew = 0;
            if self.hosts[n].defender.is_none() {
                self.hosts[n].start(self.now);
            }
        }
    }

    /// Nothing new comes; what is on its way arrives.
    fn settle(&mut self) {
        for _ in 0..200 {
            let quiet = self.hosts.iter().all(|host| {
                let idle = host.defender.as_ref().is_some_and(|defender| defender.reports(0, 1).is_empty());
                idle && host.defender.as_ref().is_some_and(|defender| defender.proving().is_none())
            });
            if quiet {
                return;
            }
            self.step(100);
        }
        panic!("hosts still have something to say");
    }
}

/// What came up on a stream is heard, and what follows goes down.
fn up(
    stream: &mut Stream,
    controller: &Simulated,
    host: &Host,
    numbers: &mut Numbers,
    lived: &mut Lived,
    now: u64,
) -> Result<(), String> {
    while let Some(message) = stream.heard(now) {
        let Some(attached) = &mut stream.attached else {
            let Some(Up::Hello(hello)) = message.body else { return Err("Hello was lost".to_owned()) };
            stream.attached = Some(controller.attach(&host.id, hello, Timestamp(now))?);
            continue;
        };
        lived.late += u64::from(!stream.held);
        let is_report = matches!(message.body, Some(Up::Report(_)));
        if let Some(answer) = controller.hear(attached, message, Timestamp(now))? {
            lived.resent += u64::from(is_report && !stream.held);
            // an acknowledgement that is lost has its report sent again after the next Hello
            stream.answer(answer, numbers, now);
        }
    }
    if let Some(attached) = &mut stream.attached {
        push(attached, controller, lived)?.into_iter().for_each(|message| stream.answer(message, numbers, now));
    }
    Ok(())
}

fn push(
    attached: &mut Attached,
    controller: &Simulated,
    lived: &mut Lived,
) -> Result<Option<v1::ControllerMessage>, String> {
    let message = controller.next_policy(attached)?;
    match message.as_ref().and_then(|message| message.body.as_ref()) {
        Some(Down::PolicyDelta(_)) => lived.deltas += 1,
        Some(Down::Policy(_)) => lived.wholes += 1,
        _ => {}
    }
    Ok(message)
}
