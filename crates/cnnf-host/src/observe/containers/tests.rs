use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn container(user: Option<u32>) -> Container {
    Container::new(ID, user).expect("an id")
}

fn world() -> (TempDir, Containers) {
    let root = tempfile::tempdir().expect("a directory");
    let places = Places {
        docker: vec![root.path().join("docker")],
        containerd: vec![root.path().join("containerd")],
        storage: vec![root.path().join("run"), root.path().join("lib")],
    };
    (root, Containers::new(places))
}

fn write(root: &TempDir, path: &str, text: &str) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
    fs::write(path, text).expect("write");
}

fn docker_file() -> (String, &'static str) {
    (format!("docker/containers/{ID}/config.v2.json"), r#"{"Name":"/web","Config":{"Image":"nginx:1.25"}}"#)
}

#[test]
fn every_runtimes_files_are_found() {
    let bundle = r#"{"annotations":{"nerdctl/name":"web"}}"#;
    let cri_o = r#"{"annotations":{"io.kubernetes.cri-o.Labels":"{\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.container.name\":\"web\"}"}}"#;
    let list = format!(r#"[{{"id":"{ID}","metadata":"{{\"image-name\":\"localhost/shop:1\"}}"}}]"#);
    let (docker, docker_text) = docker_file();
    for (path, text, want) in [
        (docker.as_str(), docker_text, "container:nginx:1.25"),
        (&format!("containerd/k8s.io/{ID}/config.json"), bundle, "container:web"),
        (&format!("run/overlay-containers/{ID}/userdata/config.json"), cri_o, "container:k8s:shop/web"),
        ("lib/vfs-containers/containers.json", &list, "container:localhost/shop:1"),
    ] {
        let (root, containers) = world();
        write(&root, path, text);
        let began = Instant::now();
        assert_eq!(containers.key(&container(None)).as_str(), want, "{path}");
        assert!(began.elapsed() < PATIENCE, "what is there is not waited for");
    }
}

#[test]
fn a_name_that_comes_late_is_waited_for() {
    let (root, containers) = world();
    std::thread::scope(|scope| {
        let asked = [(); 3].map(|()| scope.spawn(|| containers.key(&container(None))));
        std::thread::sleep(PATIENCE / 3);
        let (path, text) = docker_file();
        write(&root, &path, text);
        for asked in asked {
            assert_eq!(asked.join().expect("an answer").as_str(), "container:nginx:1.25");
        }
    });
}

#[test]
fn a_container_keeps_the_name_that_was_decided() {
    let (root, containers) = world();
    let began = Instant::now();
    assert_eq!(containers.key(&container(None)).as_str(), "container:0123456789ab");
    assert!(began.elapsed() < Duration::from_secs(2));
    let (path, text) = docker_file();
    write(&root, &path, text);
    assert_eq!(containers.key(&container(None)).as_str(), "container:0123456789ab", "it does not flip");
    containers.retain(&BTreeSet::new());
    assert_eq!(containers.key(&container(None)).as_str(), "container:0123456789ab", "not that soon either");
}

#[test]
fn the_oldest_makes_room() {
    let (_root, containers) = world();
    let number = |n: usize| Container::new(&format!("{n:064x}"), None).expect("an id");
    for n in 0..=KNOWN_MAX {
        containers.decide(&number(n), ServiceKey::container("shop"));
    }
    assert_eq!(containers.known().len(), KNOWN_MAX);
    assert_eq!(containers.called(&number(0)), "");
    assert_eq!((containers.called(&number(1)), containers.called(&number(KNOWN_MAX))), ("shop".into(), "shop".into()));
}

#[test]
fn a_list_is_read_again_when_it_changed() {
    let (root, containers) = world();
    let entry = |id: &str, name: &str| format!(r#"{{"id":"{id}","names":["{name}"]}}"#);
    let other = ID.replace('0', "f");
    write(&root, "lib/overlay-containers/containers.json", &format!("[{}]", entry(&other, "a")));
    assert_eq!(containers.record(&container(None)), None);
    write(&root, "lib/overlay-containers/containers.json", &format!("[{},{}]", entry(&other, "a"), entry(ID, "b")));
    assert_eq!(containers.record(&container(None)).expect("listed").name, "b");
}

#[test]
fn traps_in_the_place_of_files_are_no_trap() {
    let (root, containers) = world();
    let (path, text) = docker_file();
    let full = root.path().join(&path);
    write(&root, "elsewhere", text);
    fs::create_dir_all(full.parent().expect("parent")).expect("mkdir");
    symlink(root.path().join("elsewhere"), &full).expect("symlink");
    assert_eq!(containers.record(&container(None)), None, "a link");
    fs::remove_file(&full).expect("rm");
    rustix::fs::mknodat(rustix::fs::CWD, &full, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    assert_eq!(containers.record(&container(None)), None, "a pipe without a writer");
    fs::remove_file(&full).expect("rm");
    fs::create_dir(&full).expect("mkdir");
    assert_eq!(containers.record(&container(None)), None, "a directory");
    fs::remove_dir(&full).expect("rmdir");
    File::create(&full).and_then(|file| file.set_len(ONE_MAX + 1)).expect("a huge file");
    assert_eq!(containers.record(&container(None)), None, "a huge file");
    fs::write(&full, &text[..20]).expect("half a file");
    assert_eq!(containers.record(&container(None)), None, "half a file");
    fs::write(&full, text).expect("the file");
    assert_eq!(containers.record(&container(None)).expect("the file").name, "/web");
}

#[test]
fn a_users_container_is_looked_up_in_the_users_home_only() {
    let (root, containers) = world();
    let (path, text) = docker_file();
    write(&root, &path, text);
    let nobody = 4_000_000_000;
    assert_eq!(containers.record(&container(Some(nobody))), None, "the host's files say nothing of it");
    assert_eq!(containers.key(&container(Some(nobody))).as_str(), "container:~4000000000/0123456789ab");
    assert_eq!(home("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n:::", 1000), Some("/home/ann"));
    assert_eq!(home("bad:x:1000\n", 1000), None);
}
