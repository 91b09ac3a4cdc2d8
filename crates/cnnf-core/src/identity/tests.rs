mod containers;
mod naming;

use std::net::IpAddr;

use super::*;
use crate::directory::Endpoint;
use crate::id::ServiceKey;
use crate::net::Protocol;
use crate::observation::{FlowSeen, Moment, Observation};
use crate::ruleset::{Label, Slot};
use crate::time::Timestamp;

#[test]
fn cgroups_mean_services() {
    let by_program = "by program";
    for (path, want) in [
        ("/system.slice/nginx.service", "unit:nginx"),
        ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "unit:postgresql@15-main"),
        (r"/system.slice/system-getty.slice/foo@a\x2db.service", r"unit:foo@a\x2db"),
        ("/system.slice/_cpu.load.service", "unit:cpu.load"),
        ("/system.slice/nginx.service/workers", "unit:nginx"),
        ("/system.slice/foo.service/session-1.scope", "unit:foo"),
        ("/system.slice/system-ssh.slice/ssh@3-10.0.0.1:22-10.0.0.2:40001.service", "unit:ssh@"),
        ("/system.slice/ssh@3-fd86::1:22-fd86::2:40001.service", "unit:ssh@"),
        ("/system.slice/pg@15-main.service", "unit:pg@15-main"),
        ("/system.slice/x@1-10.0.0.1:22.service", "unit:x@1-10.0.0.1:22"),
        ("/system.slice/relay.socket", by_program),
        ("/init.scope", by_program),
        ("/", by_program),
        ("", by_program),
        ("/system.slice", by_program),
        ("/user.slice/user-1000.slice/session-3.scope", by_program),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service", by_program),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", by_program),
        ("/system.slice/cron.service", by_program),
        ("/system.slice/crond.service", by_program),
        ("/system.slice/atd.service", by_program),
        ("/system.slice/run-r0a1b.scope", by_program),
        ("/machine.slice/machine-qemu\\x2d3\\x2dvm.scope/libvirt", by_program),
        ("/system.slice/.service", by_program),
        ("/docker/short", by_program),
        ("/system.slice/docker-short.scope", by_program),
    ] {
        let got = of_cgroup(path);
        assert_eq!(got.service().map_or(by_program, ServiceKey::as_str), want, "{path}");
    }
}

/// Captured where we could, else from published listings.
#[test]
fn cgroups_of_distributions_mean_what_they_should() {
    let lines = include_str!("tests/distributions.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [place, path, want, _source] = fields[..] else { panic!("four fields: {line}") };
        let got = match of_cgroup(path) {
            CgroupOwner::Service(key) => key.to_string(),
            CgroupOwner::Container(container) => format!("container:{}", &container.id()[..12]),
            CgroupOwner::SocketUnit(_) | CgroupOwner::ByProgram => "by program".to_owned(),
        };
        assert_eq!(got, want, "{place}: {path}");
        seen += 1;
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn programs_are_called_by_what_they_run() {
    for (exe, cmdline, cwd, want) in [
        ("/usr/bin/curl", "curl http://db", None, "exe:/usr/bin/curl"),
        ("/usr/bin/curl (deleted)", "curl", None, "exe:/usr/bin/curl"),
        ("", "", None, "unknown"),
        ("/usr/bin/python3.11", "python3 /opt/shop/worker.py --fast", None, "exe:/opt/shop/worker.py"),
        ("/usr/bin/python3.11", "python3 -u -W ignore worker.py", Some("/opt/shop"), "exe:/opt/shop/worker.py"),
        ("/usr/bin/python3.11", "python3 ../x/./w.py", Some("/opt/shop"), "exe:/opt/x/w.py"),
        ("/usr/bin/python3.11", "python3 worker.py", None, "exe:/usr/bin/python3.11"),
        ("/usr/bin/python3.11", "python3 -m http.server 80", None, "exe:python -m http.server"),
        ("/usr/bin/python3.11", "python3 -c import_os", None, "exe:/usr/bin/python3.11"),
        ("/usr/bin/python3.11", "python3 - x.py", Some("/"), "exe:/usr/bin/python3.11"),
        ("/usr/bin/python3.11", "python3", None, "exe:/usr/bin/python3.11"),
        ("/usr/bin/bash", "/bin/bash /usr/local/bin/backup now", None, "exe:/usr/local/bin/backup"),
        ("/usr/bin/bash", "bash -c curl", Some("/"), "exe:/usr/bin/bash"),
        ("/usr/bin/bash", "-bash", Some("/root"), "exe:/usr/bin/bash"),
        ("/usr/bin/dash", "sh -ec true", Some("/"), "exe:/usr/bin/dash"),
        ("/usr/bin/dash", "sh -e /etc/rc.local", None, "exe:/etc/rc.local"),
        ("/usr/bin/bash", "bash -o pipefail run.sh", Some("/srv"), "exe:/srv/run.sh"),
        ("/usr/bin/node", "node -r esm --inspect /srv/app.js", None, "exe:/srv/app.js"),
        ("/usr/bin/nodejs", "nodejs -- /srv/app.js", None, "exe:/srv/app.js"),
        ("/usr/bin/node", "node -e 1", None, "exe:/usr/bin/node"),
        ("/usr/bin/ruby3.1", "ruby -I lib /srv/app.rb", None, "exe:/srv/app.rb"),
        ("/usr/bin/perl", "perl -w /usr/sbin/thing", None, "exe:/usr/sbin/thing"),
        ("/usr/bin/php8.2", "php -d a=b -f /srv/x.php", None, "exe:/srv/x.php"),
        ("/usr/lib/jvm/java-17/bin/java", "java -Xmx1g -cp /a.jar -jar /srv/shop.jar x", None, "exe:/srv/shop.jar"),
        ("/usr/lib/jvm/java-17/bin/java", "java -cp /a.jar org.shop.Main", None, "exe:java org.shop.Main"),
        ("/usr/sbin/php-fpm8.2", "php-fpm: pool www", None, "exe:/usr/sbin/php-fpm8.2"),
        // options in clusters and with values
        ("/usr/bin/bash", "bash -euo pipefail /srv/run.sh", None, "exe:/srv/run.sh"),
        ("/usr/bin/bash", "bash -eo pipefail -x run.sh", Some("/srv"), "exe:/srv/run.sh"),
        ("/usr/bin/bash", "bash -lc /srv/run.sh", None, "exe:/usr/bin/bash"),
        ("/usr/bin/bash", "bash +O extglob /srv/run.sh", None, "exe:/srv/run.sh"),
        ("/usr/bin/python3.13t", "python3 -Im gunicorn app:app", None, "exe:python -m gunicorn"),
        ("/usr/bin/python3.11", "python3 -mhttp.server", None, "exe:python -m http.server"),
        ("/usr/bin/python3.11", "python3 -OOWignore /srv/a.py", None, "exe:/srv/a.py"),
        (
            "/usr/bin/python3.11",
            "/srv/venv/bin/python3 /srv/venv/bin/gunicorn app:app",
            None,
            "exe:/srv/venv/bin/gunicorn",
        ),
        ("/usr/bin/python3.11", "/usr/bin/python3 /usr/bin/celery -A shop worker", None, "exe:/usr/bin/celery"),
        ("/usr/bin/pypy3.9", "pypy3 /srv/a.py", None, "exe:/srv/a.py"),
        ("/usr/bin/python3.11", "celeryd: worker", None, "exe:/usr/bin/python3.11"),
        ("/usr/bin/node", "node --require ./trace.js dist/server.js", Some("/srv"), "exe:/srv/dist/server.js"),
        ("/usr/bin/node", "node --max-old-space-size=512 /usr/bin/npm start", None, "exe:/usr/bin/npm"),
        ("/usr/bin/node", "node --test", None, "exe:/usr/bin/node"),
        ("/usr/bin/perl", "perl -MFoo=bar -Ilib /srv/x.pl", None, "exe:/srv/x.pl"),
        ("/usr/bin/perl", "perl -ne print", None, "exe:/usr/bin/perl"),
        ("/usr/bin/php8.2", "php artisan queue:work", Some("/srv/shop"), "exe:/srv/shop/artisan"),
        ("/usr/bin/php8.2", "php -S 127.0.0.1:80 x.php", Some("/srv"), "exe:/usr/bin/php8.2"),
        ("/usr/bin/ruby3.1", "ruby bin/rails server", Some("/srv/shop"), "exe:/srv/shop/bin/rails"),
        ("/usr/bin/ruby3.1", "ruby /usr/bin/bundle exec puma", None, "exe:bundle exec puma"),
        ("/usr/lib/jvm/java-17/bin/java", "java @/srv/args -jar /srv/shop.jar", None, "exe:/srv/shop.jar"),
        ("/usr/lib/jvm/java-17/bin/java", "java @/srv/args x", None, "exe:/usr/lib/jvm/java-17/bin/java"),
        ("/usr/lib/jvm/java-17/bin/java", "java -p mods -m shop/org.shop.Main", None, "exe:java -m shop/org.shop.Main"),
        ("/usr/lib/jvm/java-17/bin/java", "java --module=shop x", None, "exe:java -m shop"),
        ("/usr/lib/jvm/java-17/bin/java", "java /srv/Hello.java", None, "exe:/srv/Hello.java"),
        ("/usr/bin/busybox", "busybox httpd -f -p 80", None, "exe:/usr/bin/busybox httpd"),
        ("/bin/busybox", "nc -l -p 80", None, "exe:/bin/busybox nc"),
        ("/bin/busybox", "sh /srv/run.sh", None, "exe:/srv/run.sh"),
        ("/bin/busybox", "-sh", None, "exe:/bin/busybox sh"),
        ("/usr/bin/deno", "deno run --allow-net /srv/a.ts", None, "exe:/srv/a.ts"),
        ("/usr/bin/deno", "deno run https://example.net/a.ts", None, "exe:deno https://example.net/a.ts"),
        ("/usr/bin/deno", "deno task start", None, "exe:/usr/bin/deno"),
        ("/usr/bin/bun", "bun run start", None, "exe:bun run start"),
        ("/usr/bin/bun", "bun index.ts", Some("/srv"), "exe:/srv/index.ts"),
        ("/usr/bin/pythonesque", "pythonesque /srv/a.py", None, "exe:/usr/bin/pythonesque"),
    ] {
        let args: Vec<&str> = cmdline.split(' ').collect();
        assert_eq!(program(exe, &args, cwd).as_str(), want, "{cmdline}");
    }
}

#[test]
fn slots_are_given_once() {
    let mut slots = Slots::default();
    let web = slots.assign(&ServiceKey::unit("web")).expect("room");
    let db = slots.assign(&ServiceKey::unit("db")).expect("room");
    assert_eq!((web.number(), db.number()), (16, 17));
    assert_eq!(slots.assign(&ServiceKey::unit("web")), Ok(web));
    assert_eq!(slots.assign(&ServiceKey::unknown()), Ok(Slot::UNKNOWN));
    let kept: Vec<_> = slots.iter().map(|(key, slot)| (key.clone(), slot.number())).collect();
    let mut back = Slots::restore(kept);
    assert_eq!(back, slots);
    assert_eq!(back.assign(&ServiceKey::unit("new")).map(Slot::number), Ok(18));
    assert_eq!(back.key(db), ServiceKey::unit("db"));
    assert_eq!(back.key(Slot::new(999).expect("slot")), ServiceKey::unknown());
}

#[test]
fn slots_run_out_with_a_word_and_bad_ones_are_not_restored() {
    let mut slots = Slots::restore([
        (ServiceKey::unit("a"), 3),
        (ServiceKey::kernel(), 20),
        (ServiceKey::unit("b"), u16::MAX),
        (ServiceKey::unit("c"), u16::MAX),
    ]);
    assert_eq!(slots.iter().count(), 1);
    assert_eq!(slots.assign(&ServiceKey::unit("d")), Err(Full));
}

fn seen(path: &str, id: u64) -> Observation {
    Observation::CgroupSeen { path: path.into(), id }
}

#[test]
fn the_resolver_follows_services_through_restarts() {
    let mut r = Resolver::new(Slots::default());
    assert!(!r.observe(&seen("/system.slice", 1)));
    assert!(r.observe(&seen("/system.slice/web.service", 2)));
    assert!(!r.observe(&seen("/system.slice/web.service", 2)), "twice is once");
    assert!(
        !r.observe(&seen("/system.slice/web.service/sub", 3)),
        "below a service there is nothing new for the kernel"
    );
    assert_eq!(r.levels(), 2);
    assert_eq!(r.cgroup(3).and_then(|(_, owner)| owner.service().cloned()), Some(ServiceKey::unit("web")));
    let slot = r.services()[0].slot;
    assert!(r.observe(&Observation::CgroupGone { id: 2 }));
    assert!(r.observe(&seen("/system.slice/web.service", 9)));
    let services = r.services();
    assert_eq!((services[0].slot, services[0].cgroups.iter().copied().collect::<Vec<_>>()), (slot, vec![9]));
    let endpoint = Endpoint { protocol: Protocol::Tcp, address: None, port: 80 };
    let listening = Observation::Listening { service: ServiceKey::unit("web"), endpoints: vec![endpoint] };
    assert!(r.observe(&listening));
    assert!(!r.observe(&listening));
}

#[test]
fn sockets_made_for_a_service_are_its_own_whatever_comes_first() {
    let cgroup = seen("/system.slice/relay.socket", 5);
    let starts = |service| Observation::Starts { socket: "relay".into(), service: ServiceKey::unit(service) };
    let mut first = Resolver::new(Slots::default());
    assert!(!first.observe(&cgroup), "what it starts is not known yet");
    assert_eq!(first.cgroup(5).map(|(_, owner)| owner.clone()), Some(CgroupOwner::SocketUnit("relay".into())));
    assert!(first.observe(&starts("relay")));
    let mut last = Resolver::new(Slots::default());
    assert!(!last.observe(&starts("relay")));
    assert!(last.observe(&cgroup));
    for mut r in [first, last] {
        assert!(!r.observe(&starts("relay")), "twice is once");
        assert_eq!(r.services().len(), 1);
        assert_eq!((r.services()[0].key.as_str(), r.services()[0].cgroups.contains(&5)), ("unit:relay", true));
        assert!(r.observe(&starts("other")), "Service= was changed");
        let owns = |key: &str| r.services().into_iter().find(|s| s.key.as_str() == key).expect("known").cgroups;
        assert_eq!((owns("unit:relay").len(), owns("unit:other").contains(&5)), (0, true));
    }
}

#[test]
fn stamps_read_back_as_owners() {
    let mut r = Resolver::new(Slots::default());
    let slot = r.learn(&ServiceKey::program("/usr/bin/curl"));
    let me: IpAddr = "10.0.0.1".parse().expect("address");
    r.set_addresses([me].into());
    let flow = |client: u32, server: u32| FlowSeen {
        at: Timestamp(0),
        id: 1,
        moment: Moment::New,
        client: me,
        client_port: 1,
        server: "10.0.0.2".parse().expect("address"),
        server_port: 80,
        protocol: Protocol::Tcp,
        label: Label([client, server, 0, 0]),
        replied: false,
        bytes: None,
    };
    let curl = Owner::Local(ServiceKey::program("/usr/bin/curl"));
    assert_eq!(r.ends(&flow(slot.word(), 0)), Ends { client: curl, server: Owner::Remote });
    assert_eq!(r.ends(&flow(0, 0)).client, Owner::Unstamped);
    let other = r.learn(&ServiceKey::unit("b"));
    assert_eq!(r.ends(&flow(slot.word() | other.word(), 0)).client, Owner::Local(ServiceKey::ambiguous()));
    assert_eq!(r.learn(&ServiceKey::unknown()), Slot::UNKNOWN);
}
