//! Operators' definitions.

use proptest::prelude::*;

use super::*;
use crate::net::Ports;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn set(texts: &[&str]) -> std::collections::BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn named(name: &str) -> Definition {
    Definition { name: name.into(), ..Definition::default() }
}

fn by_unit(name: &str, unit: &str) -> Definition {
    Definition { units: set(&[unit]), ..named(name) }
}

fn by_exe(name: &str, exe: &str) -> Definition {
    Definition { executables: set(&[exe]), ..named(name) }
}

fn by_port(name: &str, port: &str) -> Definition {
    Definition { ports: Ports::parse(&[port]).expect("ports"), ..named(name) }
}

/// What a process is called.
fn name(naming: &Naming, cgroup: &str, exe: &str, cmdline: &[&str], uid: u32) -> String {
    let service = match of_cgroup(cgroup) {
        CgroupOwner::Service(key) => Some(key),
        CgroupOwner::Container(_) => Some(container()),
        CgroupOwner::SocketUnit(_) | CgroupOwner::ByProgram => None,
    };
    let user = if uid == 33 { "www-data" } else { "" };
    let service = service.as_ref();
    naming.of_process(&Program { cgroup, service, exe, cmdline, cwd: None, uid, user }).as_str().to_owned()
}

/// What every container is called here.
fn container() -> ServiceKey {
    ServiceKey::container("shop")
}

/// What a group says.
fn of_group(naming: &Naming, path: &str) -> Option<String> {
    let owner = match of_cgroup(path) {
        CgroupOwner::Service(key) => naming.of_service(&key),
        CgroupOwner::Container(_) => naming.of_service(&container()),
        CgroupOwner::SocketUnit(_) | CgroupOwner::ByProgram => naming.of_programs(path),
    };
    owner.service().map(|key| key.as_str().to_owned())
}

#[test]
fn definitions_are_checked() {
    let good = |definition: Definition| definition.check().expect("good");
    assert_eq!(good(by_unit("web", "nginx.service")).units, set(&["nginx"]));
    good(Definition { users: set(&["www-data", "33"]), ..named("web-1.x@y+z") });
    good(by_exe("java", "java -m shop"));
    let long = "x".repeat(1001);
    for (definition, part) in [
        (named("web"), "no condition"),
        (Definition { labels: "env=prod".parse().expect("labels"), ..named("web") }, "no condition"),
        (by_unit("", "x"), "'' is no name"),
        (by_unit("-x", "x"), "is no name"),
        (by_unit("a b", "x"), "is no name"),
        (by_unit("a*", "x"), "is no name"),
        (by_unit("a\u{1b}[31m", "x"), r"'a\u{1b}[31m' is no name"),
        (by_unit("wéb", "x"), "is no name"),
        (by_unit("kernel", "x"), "means something else"),
        (by_unit("any", "x"), "means something else"),
        (by_unit("web", ""), "the unit '' is not usable: it is empty"),
        (by_unit("web", "a\nb"), r"'a\nb' is not usable: it has control characters"),
        (by_unit("web", "/system.slice/x.service"), "not a path"),
        (by_unit("web", "ssh.socket"), "only services and scopes"),
        (by_unit("web", &long), "longer than 1000"),
        (by_exe("web", "nginx"), "write the whole path"),
        (Definition { command_lines: set(&["**"]), ..named("web") }, "means every command line"),
        (Definition { users: set(&["www*"]), ..named("web") }, "one name or one number"),
        (by_port("web", "icmp"), "listens on tcp, udp or sctp ports"),
        (Definition { units: (0..101).map(|n| format!("u{n}")).collect(), ..named("web") }, "more than 100"),
    ] {
        let error = definition.clone().check().expect_err(part).to_string();
        assert!(error.contains(part) && !error.contains(char::is_control), "{definition:?}: {error}");
    }
    assert_eq!(Definition::check_all(&[by_unit("a", "x"), by_unit("a", "y")]), Err(DefinitionError::Twice("a".into())));
    let many: Vec<Definition> = (0..=MAX_DEFINITIONS).map(|n| by_unit(&n.to_string(), "x")).collect();
    assert_eq!(Definition::check_all(&many), Err(DefinitionError::Full));
    let long = |n: usize| (0..90).map(|m| format!("{n}{m}{}", "x".repeat(900))).collect();
    let wide: Vec<Definition> = (0..9).map(|n| Definition { units: long(n), ..named(&n.to_string()) }).collect();
    assert_eq!(Definition::check_all(&wide), Err(DefinitionError::Full));
}

#[test]
fn the_first_definition_that_applies_decides() {
    let naming = Naming::new(
        vec![
            by_unit("db", "postgresql@*"),
            Definition { users: set(&["www-data"]), ..by_unit("front", "shop") },
            Definition { command_lines: set(&["manage.py*runserver"]), ..by_unit("back", "shop") },
            by_unit("rest", "shop"),
            by_exe("fetch", "/usr/bin/curl"),
        ],
        HeldPorts::new(),
    );
    let service = |path: &str| of_group(&naming, path);
    assert_eq!(service("/system.slice/system-postgresql.slice/postgresql@15-main.service").as_deref(), Some("svc:db"));
    assert_eq!(service("/system.slice/shop.service"), None, "two programs of it may be called differently");
    assert_eq!(service("/system.slice/web.service"), None, "it may run curl");
    for (cgroup, exe, cmdline, uid, want) in [
        ("/system.slice/shop.service", "/usr/bin/php", &["php"][..], 33, "svc:front"),
        (
            "/system.slice/shop.service",
            "/usr/bin/python3",
            &["python3", "manage.py", "x", "runserver", "80"],
            0,
            "svc:back",
        ),
        ("/system.slice/shop.service/sub", "/usr/bin/curl", &["curl"], 0, "svc:rest"),
        ("/system.slice/web.service", "/usr/bin/curl (deleted)", &["curl"], 0, "svc:fetch"),
        ("/system.slice/web.service", "/usr/sbin/nginx", &["nginx"], 0, "unit:web"),
        ("/user.slice/user-0.slice/session-1.scope", "/usr/bin/curl", &["curl"], 0, "svc:fetch"),
        ("/user.slice/user-0.slice/session-1.scope", "/usr/bin/wget", &["wget"], 0, "exe:/usr/bin/wget"),
    ] {
        assert_eq!(name(&naming, cgroup, exe, cmdline, uid), want, "{cgroup} {exe}");
    }
}

#[test]
fn a_script_is_meant_by_its_own_path() {
    let naming = Naming::new(vec![by_exe("jobs", "/opt/shop/*.py")], HeldPorts::new());
    let args = ["python3", "/opt/shop/worker.py"];
    assert_eq!(name(&naming, "/x.scope", "/usr/bin/python3.13", &args, 0), "svc:jobs");
}

#[test]
fn what_could_not_be_read_is_not_guessed() {
    let naming = Naming::new(
        vec![Definition { users: set(&["33"]), ..by_exe("a", "/a") }, by_port("p", "tcp/80")],
        HeldPorts::new(),
    );
    let of = |cgroup, exe, uid| name(&naming, cgroup, exe, &[], uid);
    assert_eq!(of("/x.service", "", 33), "unknown");
    assert_eq!(of("/x.service", "", 1), "unit:x", "its user tells that it is another's");
    assert_eq!(of("/x.scope", "", 1), "unknown");
}

#[test]
fn a_unit_means_the_outermost_and_no_container() {
    let id = ID;
    for (path, want) in [
        ("/system.slice/nginx.service/workers.service".to_owned(), Some("nginx")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service".into(), Some("user@1000")),
        ("/user.slice/user-0.slice/session-3.scope".into(), Some("session-3.scope")),
        ("/init.scope".into(), Some("init.scope")),
        ("/system.slice".into(), None),
        ("/".into(), None),
        (format!("/system.slice/docker-{id}.scope"), None),
        (format!("/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:{id}"), None),
    ] {
        assert_eq!(unit_of_cgroup(&path), want, "{path}");
    }
}

#[test]
fn a_port_names_the_service_that_listens_there_until_another_does() {
    let mut naming = Naming::new(vec![by_port("db", "tcp/5432")], HeldPorts::new());
    let group = "/system.slice/pg.service";
    assert_eq!(of_group(&naming, group).as_deref(), Some("unit:pg"));
    let listens = |who: &[&str]| {
        let who = who.iter().map(|unit| ServiceKey::unit(unit)).collect();
        HeldPorts::from([((Protocol::Tcp, 5432), who), ((Protocol::Tcp, 80), [ServiceKey::unit("web")].into())])
    };
    assert!(naming.listen(&listens(&["pg"])));
    assert!(!naming.listen(&listens(&["pg"])), "twice is once");
    assert_eq!(of_group(&naming, group).as_deref(), Some("svc:db"));
    assert_eq!(name(&naming, group, "/pg", &["pg"], 0), "svc:db");
    assert!(!naming.listen(&HeldPorts::new()), "it restarts");
    assert_eq!(of_group(&naming, group).as_deref(), Some("svc:db"));
    assert_eq!(naming.held().len(), 1, "only what definitions ask for is remembered");
    assert!(naming.listen(&listens(&["other"])));
    assert_eq!(of_group(&naming, group).as_deref(), Some("unit:pg"));
    let kept = Naming::new(naming.definitions().to_vec(), naming.held().clone());
    assert_eq!(kept, naming);
}

#[test]
fn definitions_that_change_rename_everything() {
    let mut r = Resolver::new(Slots::default());
    r.observe(&seen("/system.slice/web.service", 2));
    r.observe(&seen("/system.slice/web.service/sub", 3));
    r.observe(&seen("/system.slice/db.service", 4));
    let cgroups = |r: &Resolver| -> Vec<(String, Vec<u64>)> {
        r.services().into_iter().map(|s| (s.key.to_string(), s.cgroups.into_iter().collect())).collect()
    };
    let old = r.slots().get(&ServiceKey::unit("web")).expect("slot");
    assert!(r.define(&[by_unit("front", "web")]));
    assert!(!r.define(&[by_unit("front", "web")]));
    assert_eq!(cgroups(&r), [("svc:front".into(), vec![2]), ("unit:db".into(), vec![4]), ("unit:web".into(), vec![])]);
    assert!(r.is_renamed(&ServiceKey::unit("web")) && !r.is_renamed(&ServiceKey::unit("db")));
    assert_eq!(r.slots().key(old), ServiceKey::unit("web"), "a live connection keeps its name");
    assert!(!r.observe(&seen("/system.slice/web.service", 2)));
    assert!(r.observe(&seen("/system.slice/web.service", 9)), "a restart has the new name too");

    assert!(r.define(&[by_exe("x", "/x")]));
    assert!(cgroups(&r).iter().all(|(_, cgroups)| cgroups.is_empty()), "each may run /x: {:?}", cgroups(&r));
    assert!(r.by_process(&ServiceKey::unit("web")) && !r.is_renamed(&ServiceKey::unit("web")));
    assert!(r.is_renamed(&ServiceKey::defined("front")), "its definition is gone");

    assert!(r.define(&[by_port("data", "tcp/5432")]));
    let db = [ServiceKey::unit("db")].into();
    assert!(r.observe(&Observation::Answering([((Protocol::Tcp, 5432), db)].into())));
    assert!(cgroups(&r).contains(&("svc:data".into(), vec![4])));
    assert!(!r.define(&[by_unit("a", "none"), by_port("data", "tcp/5432")]), "nothing here is called differently");
    assert!(cgroups(&r).contains(&("svc:data".into(), vec![4])));
    assert!(r.define(&[]));
    assert!(cgroups(&r).contains(&("unit:db".into(), vec![4])));
}

#[test]
fn a_container_is_named_like_a_unit() {
    let mut r = Resolver::new(Slots::default());
    r.define(&[by_unit("users", "user@*"), by_port("api", "tcp/80"), by_unit("all", "docker*")]);
    r.observe(&seen(&format!("/system.slice/docker-{ID}.scope"), 1));
    r.observe(&seen("/user.slice/user-7.slice/user@7.service", 2));
    let cgroups = |r: &Resolver, key: &str| {
        r.services().into_iter().find(|s| s.key.as_str() == key).map(|s| s.cgroups.into_iter().collect::<Vec<_>>())
    };
    assert!(r.services().iter().all(|s| s.cgroups.is_empty()), "it has no name yet, and is no unit");
    let named = Observation::ContainerNamed { container: Container::new(ID, None).expect("id"), key: container() };
    assert!(r.observe(&named));
    assert_eq!(cgroups(&r, "container:shop"), Some(vec![1]));
    assert!(r.observe(&Observation::Answering([((Protocol::Tcp, 80), [container()].into())].into())));
    assert_eq!((cgroups(&r, "svc:api"), cgroups(&r, "container:shop")), (Some(vec![1]), Some(vec![])));
    assert_eq!(r.naturals()[&ServiceKey::defined("api")], [container()].into());
    assert_eq!(cgroups(&r, "svc:users"), Some(vec![]), "groups below a user's may be containers'");
    assert!(r.observe(&Observation::CgroupGone { id: 1 }));
    assert_eq!(cgroups(&r, "svc:api"), Some(vec![]));
}

fn definition() -> impl Strategy<Value = Definition> {
    let some = |texts: &'static [&'static str]| {
        proptest::collection::btree_set(proptest::sample::select(texts).prop_map(str::to_owned), 0..2)
    };
    (
        some(&["web", "we*", "session-1.scope", "*", "containerd", "user@*"]),
        some(&["/bin/a", "/bin/*"]),
        some(&["--x"]),
        some(&["0", "www-data"]),
        proptest::option::of(proptest::sample::select(&["tcp/80", "tcp/81"][..])),
    )
        .prop_map(|(units, executables, command_lines, users, port)| Definition {
            name: "n".into(),
            units,
            executables,
            command_lines,
            users,
            ports: port.map_or(Ports::Any, |port| Ports::parse(&[port]).expect("ports")),
            ..Definition::default()
        })
}

fn group() -> impl Strategy<Value = String> {
    let paths = vec![
        "/".to_owned(),
        "/system.slice".into(),
        "/system.slice/web.service".into(),
        "/system.slice/web.service/sub".into(),
        "/system.slice/db.service".into(),
        "/user.slice/session-1.scope".into(),
        "/system.slice/cron.service".into(),
        format!("/system.slice/docker-{ID}.scope"),
        "/system.slice/containerd.service".into(),
        format!("/system.slice/containerd.service/x:cri-containerd:{ID}"),
        "/user.slice/user@7.service".into(),
        format!("/user.slice/user@7.service/libpod-{ID}.scope"),
    ];
    proptest::sample::select(paths)
}

proptest! {
    /// What the kernel stamps by a cgroup is what a look at the process would say, whatever the process is.
    #[test]
    fn the_kernel_and_the_process_agree(
        definitions in proptest::collection::vec(definition(), 0..4),
        groups in proptest::collection::vec(group(), 1..8),
        listens in proptest::collection::vec((80_u16..82, proptest::sample::select(vec!["web", "db", "containerd"])), 0..3),
        order in 0..3_usize,
        who in 0..8_usize,
        exe in proptest::sample::select(vec!["/bin/a", "/bin/b", "/usr/x", ""]),
        arg in proptest::sample::select(vec!["--x", "y"]),
        uid in proptest::sample::select(vec![0_u32, 33, 5]),
    ) {
        let definitions: Vec<Definition> = definitions
            .into_iter()
            .enumerate()
            .filter_map(|(n, d)| Definition { name: format!("n{n}"), ..d }.check().ok())
            .collect();
        let ports = listens.iter().fold(HeldPorts::new(), |mut ports, (port, unit)| {
            ports.entry((Protocol::Tcp, *port)).or_default().insert(ServiceKey::unit(unit));
            ports
        });
        let mut r = Resolver::new(Slots::default());
        for step in [order, order + 1, order + 2] {
            match step % 3 {
                0 => drop(r.define(&definitions)),
                1 => drop(r.observe(&Observation::Answering(ports.clone()))),
                _ => for (n, path) in groups.iter().enumerate() {
                    r.observe(&seen(path, n as u64));
                    if let CgroupOwner::Container(container) = of_cgroup(path) {
                        r.observe(&Observation::ContainerNamed { container, key: self::container() });
                    }
                },
            }
        }
        let path = &groups[who % groups.len()];
        // the kernel looks at every level, the deepest first
        let services = r.services();
        let mut at = Some(path.as_str());
        let mut stamped = None;
        while let (Some(level), None) = (at, &stamped) {
            let id = groups.iter().position(|known| known == level).map(|n| n as u64);
            stamped = id.and_then(|id| services.iter().find(|s| s.cgroups.contains(&id))).map(|s| s.key.clone());
            at = level.rsplit_once('/').map(|(above, _)| above).filter(|above| !above.is_empty());
        }
        let cmdline = ["a", arg];
        let seen = name(r.naming(), path, exe, &cmdline, uid);
        if let Some(stamped) = stamped {
            prop_assert_eq!(stamped.as_str(), &seen, "{} under {:?}", path, definitions);
        }
        if let Some(key) = of_group(r.naming(), path) {
            prop_assert_eq!(key, seen);
        }
    }
}
