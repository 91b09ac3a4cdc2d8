//! What the defender takes away from itself is never something that it needs.

use std::fs;
use std::process::Command;

use cnnf_core::policy::{Effect, Mode};

use super::bed::controller::Controller;
use super::bed::with_bed;
use super::{apply, enroll, policy};

/// strace(1) writes every call that failed, of the defender and of what it runs; its filter makes calls fail with EPERM.
#[test]
fn root_no_system_call_of_the_defender_is_outside_its_list() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    with_bed(|bed| {
        let controller = Controller::start();
        enroll(bed, &controller);
        let trace = bed.dir.path().join("trace");
        bed.start_by(&["strace", "-f", "-qq", "-Z", "-o", &trace.display().to_string()]);
        bed.serve("server.service", 8000);
        bed.serve("prevented.service", 8001);
        apply(&controller, &policy(1, Mode::Enforce, &[(1, "unit:client", "tcp/8001", Effect::Prevent)]));
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8000"), "ok");
        assert_eq!(bed.probe("client.service", "tcp 127.0.0.1:8001"), "refused");
        assert_eq!(bed.probe("session-1.scope", "tcp [::1]:8000"), "ok", "its packet waits for its name");
        controller.wait("the event", |heard| (!heard.events.is_empty()).then_some(()));
        apply(&controller, &policy(2, Mode::Observe, &[]));

        let filtered = |entry: std::io::Result<fs::DirEntry>| {
            let status = fs::read_to_string(entry.expect("thread").path().join("status")).unwrap_or_default();
            status.is_empty() || status.contains("Seccomp:\t2")
        };
        let pid = bed.defender_pid();
        assert!(fs::read_dir(format!("/proc/{pid}/task")).expect("threads").all(filtered), "a thread has no filter");
        let trace = fs::read_to_string(trace).expect("trace");
        assert!(trace.contains("ENOENT"), "it was traced");
        // systemctl asks for more files than the kernel allows it
        let refused = |line: &&str| line.contains(" EPERM ") && !line.contains(" prlimit64(0, RLIMIT_NOFILE");
        let refused: Vec<&str> = trace.lines().filter(refused).collect();
        assert!(refused.is_empty(), "{refused:#?}");
    });
}
