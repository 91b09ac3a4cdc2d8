//! Getting to the controller, and streams that stay.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bed::{Bed, Ca, Ran, bare};
use cnnf_core::id::HostId;
use cnnf_rpc::tls::PeerIdentity;

#[test]
fn contexts_are_found_and_named() {
    let bed = Bed::start();
    let config = bed.dir.path().join("config/cnnf");
    std::fs::create_dir_all(&config).expect("directory");
    let entry = std::fs::read_to_string(bed.dir.path().join("admin.toml")).expect("read");
    let wrong = entry.replace(&bed.address.to_string(), "127.0.0.1:1");
    std::fs::write(
        config.join("contexts.toml"),
        format!("current = \"lab\"\n[contexts.lab]\n{entry}\n[contexts.far]\n{wrong}"),
    )
    .expect("write");
    let run = |args: &[&str]| {
        let home = bed.dir.path().join("config");
        Ran::of(bare(args).env("XDG_CONFIG_HOME", home).output().expect("run"), &bed.address.to_string())
    };
    assert_eq!(run(&["status"]).code, 0);
    assert_eq!(run(&["status", "--context", "lab"]).code, 0);
    assert_eq!(run(&["--context", "far", "status"]).code, 3);
    let ran = run(&["--context", "nope", "status"]);
    assert!(ran.code == 2 && ran.err.ends_with("there are: far, lab\n"), "{ran:?}");
    assert_eq!(run(&["--admin", "/nonexistent.toml", "status"]).code, 2);
    let ran = Ran::of(bare(&["status"]).output().expect("run"), "nowhere");
    assert!(ran.code == 2 && ran.err.contains("no controller is named: give --admin FILE"), "{ran:?}");
}

#[test]
fn who_cannot_reach_or_may_not_gets_three() {
    let bed = Bed::start();
    let address = bed.address.to_string();
    let admin = PeerIdentity::Admin("root".into());
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("free").to_string();
    let defender = PeerIdentity::Defender(HostId::new("h-1"));
    // A client of another CA that yet knows the controller's.
    let stranger = {
        let own = bed.ca.admin_toml(&address, &admin);
        let other = Ca::new().admin_toml(&address, &admin);
        format!(
            "{}{}",
            &own[..own.find("certificate").expect("part")],
            &other[other.find("certificate").expect("part")..]
        )
    };
    for (name, text, part) in [
        ("gone", bed.ca.admin_toml(&free, &admin), "see whether the controller runs and the address is right"),
        (
            "other-ca",
            Ca::new().admin_toml(&address, &admin),
            "see whether the address and the credential belong together",
        ),
        (
            "defender",
            bed.ca.admin_toml(&address, &defender),
            "SERVER does not allow this: defender h-1 is no administrator",
        ),
        ("stranger", stranger, "no secure connection to SERVER: received fatal alert: "),
    ] {
        let file = bed.file(&format!("{name}.toml"), &text);
        let ran = bed.run(&["status", "--admin", &file]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{name}: {ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(part), "{name}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{name}: {ran:?}");
    }
}

/// A watcher that was told to stop by Ctrl-C after `lines` lines: these, and its exit code.
fn watch(bed: &Bed, args: &[&str], lines: usize) -> (String, Option<i32>) {
    let mut child = bed.command(args).stdout(Stdio::piped()).spawn().expect("spawn");
    let mut reader = BufReader::new(child.stdout.take().expect("stdout"));
    let mut text = String::new();
    for _ in 0..lines {
        reader.read_line(&mut text).expect("line");
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(child.try_wait().expect("wait").is_none(), "it watches on");
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(stopped.success());
    let code = child.wait().expect("wait").code();
    reader.read_to_string(&mut text).expect("rest");
    (text, code)
}

#[test]
fn events_are_watched_until_ctrl_c() {
    let bed = Bed::start();
    let (text, code) = watch(&bed, &["events", "watch"], 3);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(text);
    let (text, code) = watch(&bed, &["events", "watch", "-o", "json", "--kind", "tamper"], 3);
    assert_eq!(code, Some(0));
    let ids: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].as_str().expect("id").to_owned()
        })
        .collect();
    assert_eq!(ids, ["12", "11", "10"]);
}

#[test]
fn a_watcher_goes_on_after_the_last_event() {
    let bed = Bed::start();
    let ids = |args: &[&str], lines| {
        let (text, code) = watch(&bed, args, lines);
        assert_eq!(code, Some(0));
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].clone();
        text.lines().map(|line| id(line).as_str().expect("id").to_owned()).collect::<Vec<_>>()
    };
    let args = ["events", "watch", "-o", "json", "-q", "--service", "breaking"];
    assert_eq!(ids(&args, 3), ["12", "11", "10"]);
    let mut after = args.to_vec();
    after.extend(["--after", "1"]);
    assert_eq!(ids(&after, 2), ["11", "10"]);
}

#[test]
fn a_stream_that_ends_is_an_error() {
    let bed = Bed::start();
    let ran = bed.run(&["events", "watch", "--service", "ending"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("the controller ended the stream"), "{ran:?}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let bed = Bed::start();
    let mut child =
        bed.command(&["events", "watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawn");
    drop(child.stdout.take());
    let ran = child.wait_with_output().expect("wait");
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_call_that_gets_no_answer_is_made_again_by_its_own_key() {
    let bed = Bed::start();
    let set = ["settings", "set", "learn_for", "1h"];
    bed.ok(&set);
    let first = bed.controller.keys();
    assert!(first.len() == 1 && first[0].len() == 32, "{first:?}");
    bed.controller.busy(2);
    bed.ok(&set);
    let second = bed.controller.keys();
    assert!(second.len() == 3 && second.iter().all(|key| *key == second[0]), "{second:?}");
    assert_ne!(first[0], second[0], "another call");
    // Not for ever.
    bed.controller.busy(1_000);
    let ran = bed.run(&set);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("ask again in a moment"), "{ran:?}");
    assert_eq!(bed.controller.keys().len(), 6);
}

/// A place between cnnfctl and the controller, which breaks the first connection once the controller has the request.
fn breaking_once(bed: &Bed) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let (here, there, controller) = (listener.local_addr().expect("address"), bed.address, bed.controller.clone());
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
        });
    };
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let server = TcpStream::connect(there).expect("connect");
            copy(client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            if number > 0 {
                copy(server, client);
                continue;
            }
            copy_until(server, client, || controller.came());
        }
    });
    here.to_string()
}

/// Forwards what comes, until this is so; then both ends are closed.
fn copy_until(mut from: TcpStream, mut to: TcpStream, over: impl Fn() -> bool) {
    from.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer);
        if over() {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return;
        }
        match read {
            Ok(0) => return,
            Ok(read) => to.write_all(&buffer[..read]).expect("written"),
            Err(_) => {}
        }
    }
}

#[test]
fn a_call_whose_connection_breaks_is_made_again() {
    let bed = Bed::start();
    let admin = bed.ca.admin_toml(&breaking_once(&bed), &PeerIdentity::Admin("root".into()));
    let file = bed.file("between.toml", &admin);
    let ran = bed.run(&["settings", "set", "learn_for", "1h", "--admin", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let keys = bed.controller.keys();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
}
