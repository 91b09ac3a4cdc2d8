//! Which container a group is, what it is called, and that none is ever called by another's name.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::seen;
use crate::id::ServiceKey;
use crate::identity::{CgroupOwner, Container, Record, Resolver, Slots, of_cgroup};
use crate::observation::Observation;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

#[test]
fn a_containers_group_has_its_id() {
    let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
    for path in [
        format!("/system.slice/docker-{ID}.scope"),
        format!("/docker/{ID}"),
        format!("/machine.slice/libpod-{ID}.scope/container"),
        format!("/libpod_parent/libpod-{ID}"),
        format!("/system.slice/nerdctl-{ID}.scope"),
        format!("{pod}/cri-containerd-{ID}.scope"),
        format!("/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope"),
        format!("/kubepods/burstable/pod8d1c/{ID}"),
        format!("/kubepods/besteffort/pod8d1c/crio-{ID}"),
        format!("/system.slice/containerd.service/kubepods-burstable-pod1.slice:cri-containerd:{ID}"),
        // what is below is the guest's, whatever it calls it
        format!("/docker/{ID}/system.slice/nginx.service"),
        format!("/docker/{ID}/docker/{OTHER}"),
        format!("/system.slice/docker-{ID}.scope/init.scope"),
        format!("/docker/{ID}/kubelet.slice/kubelet-kubepods.slice/kubepods-pod1.slice/cri-containerd-{OTHER}.scope"),
    ] {
        assert_eq!(of_cgroup(&path).container(), Container::new(ID, None).as_ref(), "{path}");
    }
    for path in [
        format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
        format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/docker-{ID}.scope"),
    ] {
        assert_eq!(of_cgroup(&path).container(), Container::new(ID, Some(1000)).as_ref(), "{path}");
    }
}

#[test]
fn what_only_looks_like_a_container_is_none() {
    let upper = ID.to_uppercase();
    for (path, want) in [
        // the monitor
        (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
        (format!("/kubepods.slice/crio-conmon-{ID}.scope"), None),
        (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{ID}.scope"), None),
        // a unit may make groups of any name below its own, and so may a container in it: quadlet's, or one that lies
        (format!("/system.slice/web.service/libpod-payload-{ID}"), Some("unit:web")),
        (format!("/system.slice/web.service/docker-{ID}.scope"), Some("unit:web")),
        (format!("/user.slice/user-1000.slice/session-3.scope/libpod-{ID}"), None),
        (format!("/docker/{}", &ID[1..]), None),
        (format!("/docker/{upper}"), None),
        (format!("/elsewhere/{ID}"), None),
        ("/system.slice/docker.service".into(), Some("unit:docker")),
        ("/system.slice/containerd.service".into(), Some("unit:containerd")),
        ("/system.slice/containerd.service/x.scope".into(), Some("unit:containerd")),
        ("/system.slice/k3s.service/x/y.service".into(), Some("unit:k3s")),
        // whole systems
        ("/lxc.payload.mail/system.slice/postfix.service".into(), Some("container:mail")),
        ("/lxc/101/ns/system.slice/postfix.service".into(), Some("container:101")),
        ("/lxc.monitor.mail".into(), None),
        ("/machine.slice/machine-deb.scope/system.slice/nginx.service".into(), Some("container:deb")),
        (r"/machine.slice/machine-my\x2ddeb.scope".into(), Some("container:my-deb")),
        (r"/machine.slice/machine-lxc\x2d12\x2dmail.scope".into(), Some("container:mail")),
        (r"/machine.slice/machine-a\x00\xzz\x.scope".into(), Some(r"container:a\x00\xzz\x")),
        ("/machine.slice/systemd-nspawn@deb.service/payload/x.service".into(), Some("unit:systemd-nspawn@deb")),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/lxc.payload.mail".into(), None),
        ("/user.slice/user-1000.slice/user@1000.service/machine.slice/machine-deb.scope".into(), None),
        // packages of a user's session
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/snap.firefox.firefox-1f2e.scope".into(), None),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak-org.x.Y-12.scope".into(), None),
        ("/system.slice/snap.lxd.daemon.service".into(), Some("unit:snap.lxd.daemon")),
    ] {
        let owner = of_cgroup(&path);
        assert_eq!((owner.service().map(ServiceKey::as_str), owner.container()), (want, None), "{path}");
    }
}

fn record(image: &str, name: &str) -> Record {
    Record { image: image.into(), image_id: format!("sha256:{OTHER}"), name: name.into(), pod: None }
}

#[test]
fn a_container_is_called_by_its_image_else_by_its_name() {
    let container = Container::new(ID, None).expect("id");
    for (image, name, want) in [
        ("nginx", "/web-1", "nginx"),
        ("redis:7", "cache", "redis:7"),
        ("docker.io/library/shop:1.2", "web1", "docker.io/library/shop:1.2"),
        ("registry.local:5000/a/b@sha256:0123", "x", "registry.local:5000/a/b"),
        // an image by its id says nothing that survives the next build
        (&OTHER[..7], "/web", "web"),
        (&format!("sha256:{OTHER}"), "/web", "web"),
        (OTHER, "", "0123456789ab"),
        ("cafe", "x", "cafe"),
        ("", "/web_1.x-y", "web_1.x-y"),
        ("", "", "0123456789ab"),
        // hostile ones
        ("a b", "web", "web"),
        ("nginx\u{1b}[31m", "w\nb", "0123456789ab"),
        ("k8s:shop/web", "x", "x"),
        ("~1000/nginx", "x", "x"),
        ("a//b", "/", "0123456789ab"),
        ("fedcba987654", "abcdef012345", "0123456789ab"),
        (&"a".repeat(401), &"b".repeat(1 << 20), "0123456789ab"),
    ] {
        let got = container.key(Some(&record(image, name)));
        assert_eq!(got.as_str(), format!("container:{want}"), "{image:?} {name:?}");
    }
    assert_eq!(container.key(None).as_str(), "container:0123456789ab");
    let of_user = Container::new(ID, Some(1000)).expect("id");
    assert_eq!(of_user.key(Some(&record("nginx", "x"))).as_str(), "container:~1000/nginx");
    assert_eq!(of_user.key(None).as_str(), "container:~1000/0123456789ab");
    let pod = |namespace: &str, name: &str| {
        let pod = Some((namespace.to_owned(), name.to_owned()));
        container.key(Some(&Record { pod, ..record("registry.k8s.io/pause:3.9", "k8s_x") })).as_str().to_owned()
    };
    assert_eq!(pod("shop", "web"), "container:k8s:shop/web");
    assert_eq!(pod("shop", "POD"), "container:k8s:shop/POD");
    assert_eq!(pod("a/b", "web"), "container:registry.k8s.io/pause:3.9", "a namespace has no slash");
}

#[test]
fn a_container_waits_for_its_name_and_keeps_it() {
    let mut r = Resolver::new(Slots::default());
    let container = Container::new(ID, None).expect("id");
    let named =
        |name: &str| Observation::ContainerNamed { container: container.clone(), key: ServiceKey::container(name) };
    assert!(!r.observe(&named("early")), "nobody has it");
    assert!(!r.observe(&seen(&format!("/docker/{ID}"), 5)), "the table learns of it with its name");
    assert!(!r.observe(&seen(&format!("/docker/{ID}/inner"), 6)));
    assert!(r.services().is_empty());
    assert_eq!(r.containers().into_iter().collect::<Vec<_>>(), [(&container, None)]);
    assert!(r.observe(&named("shop:1.2")));
    assert!(!r.observe(&named("other")), "the first word counts");
    let services = r.services();
    assert_eq!((services[0].key.as_str(), services[0].cgroups.len()), ("container:shop:1.2", 1));
    assert!(r.observe(&Observation::CgroupGone { id: 5 }));
    assert_eq!(r.containers().len(), 1, "a part of it is there");
    r.observe(&Observation::CgroupGone { id: 6 });
    assert!(r.containers().is_empty());
    assert!(!r.observe(&seen(&format!("/docker/{ID}"), 7)));
    assert!(r.observe(&named("other")), "it is another one's group now");
    assert_eq!(r.services().iter().filter(|s| !s.cgroups.is_empty()).count(), 1);
}

#[test]
fn a_new_container_below_an_engine_is_not_the_engine() {
    let mut r = Resolver::new(Slots::default());
    let engine = "/system.slice/containerd.service";
    r.observe(&seen(engine, 1));
    r.observe(&seen("/system.slice/web.service", 2));
    assert!(r.has_cgroup(&ServiceKey::unit("containerd")));
    let in_table = |r: &Resolver| -> Vec<u64> { r.services().into_iter().flat_map(|s| s.cgroups).collect() };
    assert_eq!(in_table(&r), [2], "whatever is below the engine's own group is asked for");
    r.observe(&seen(&format!("{engine}/kubepods-pod1.slice:cri-containerd:{ID}"), 3));
    let container = Container::new(ID, None).expect("id");
    r.observe(&Observation::ContainerNamed { container, key: ServiceKey::container("shop:1.2") });
    assert_eq!(in_table(&r).into_iter().collect::<std::collections::BTreeSet<_>>(), [2, 3].into());
}

/// What happens to one of four containers, each of which has one name in truth, unless it has none for a while.
#[derive(Clone, Debug)]
enum Step {
    Seen(usize, u64),
    Nested(usize, usize, u64),
    Gone(u64),
    Named(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4usize, 0..3u64).prop_map(|(c, n)| Step::Seen(c, n)),
        (0..4usize, 0..4usize, 0..3u64).prop_map(|(c, inner, n)| Step::Nested(c, inner, n)),
        (0..48u64).prop_map(Step::Gone),
        (0..4usize).prop_map(Step::Named),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever is reordered, lost or said twice: a group that the table gets for a service belongs to the container that is called so.
    #[test]
    fn no_container_is_called_by_anothers_name(steps in steps()) {
        let id = |c: usize| format!("{c}").repeat(64);
        let key = |c: usize| ServiceKey::container(&format!("image{c}"));
        let mut r = Resolver::new(Slots::default());
        let mut truth: BTreeMap<u64, usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Seen(c, n) => {
                    // an id is never used again for another path while the host is up
                    let group = c as u64 * 12 + n;
                    truth.insert(group, c);
                    r.observe(&seen(&format!("/docker/{}{}", id(c), "/x".repeat(n as usize)), group));
                }
                Step::Nested(c, inner, n) => {
                    let group = c as u64 * 12 + 3 + n % 2 * 4 + inner as u64;
                    truth.insert(group, c);
                    let deep = if n % 2 == 0 { "" } else { "/docker" };
                    r.observe(&seen(&format!("/docker/{}{deep}/docker-{}.scope", id(c), id(inner)), group));
                }
                Step::Gone(group) => { r.observe(&Observation::CgroupGone { id: group }); }
                Step::Named(c) => {
                    let container = Container::new(&id(c), None).expect("id");
                    r.observe(&Observation::ContainerNamed { container, key: key(c) });
                }
            }
            for service in r.services() {
                for group in service.cgroups {
                    prop_assert_eq!(&service.key, &key(truth[&group]));
                }
            }
        }
    }

    /// No record, however odd, gives a name that belongs to another kind of service, to another user, or that cannot be read back.
    #[test]
    fn every_record_gives_a_good_key(
        image in ".{0,40}", image_id in "[0-9a-f:sh]{0,70}", name in ".{0,40}",
        pod in proptest::option::of((".{0,12}", ".{0,12}")), user in proptest::option::of(any::<u32>()),
    ) {
        let container = Container::new(ID, user).expect("id");
        let key = container.key(Some(&Record { image, image_id, name, pod }));
        prop_assert_eq!(key.as_str().parse::<ServiceKey>(), Ok(key.clone()));
        let rest = key.as_str().strip_prefix("container:").expect("a container");
        prop_assert_eq!(rest.starts_with('~'), user.is_some());
        prop_assert!(rest.bytes().all(|b| b.is_ascii_graphic()));
        let own = rest.rsplit('/').next().expect("a part");
        let looks_nameless = own.len() == 12 && own.bytes().all(|b| b.is_ascii_hexdigit());
        prop_assert!(!looks_nameless || own == &ID[..12] || rest.trim_start_matches('~').contains('/'));
    }

    /// Any path at all is read without a word about somebody else's container.
    #[test]
    fn below_a_container_nothing_else_counts(below in "(/[ -~]{0,20}){0,4}") {
        let owner = of_cgroup(&format!("/docker/{ID}{below}"));
        prop_assert_eq!(owner, CgroupOwner::Container(Container::new(ID, None).expect("id")));
    }
}
