//! Where tests meet the real kernel.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a new network namespace with loopback up; the namespace ends with it. What the test starts inherits it.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: needs root");
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip").success());
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}
