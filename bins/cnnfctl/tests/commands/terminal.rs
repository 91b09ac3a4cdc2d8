//! What is different where a person sits at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use nix::pty::openpty;

use crate::bed::Bed;

/// Runs on a pseudo-terminal whose person types `typed`: exit code and what stood on the screen.
fn at_terminal(bed: &Bed, args: &[&str], typed: &str) -> (i32, String) {
    let pty = openpty(None, None).expect("pty");
    let mut command = bed.command(args);
    let end = |fd: &OwnedFd| fd.try_clone().expect("clone");
    command.env("TERM", "xterm").stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(end(&pty.slave));
    let mut child = command.spawn().expect("spawn");
    // Only the program holds the other end now, so that reading ends with it.
    drop((command, pty.slave));
    let mut person = File::from(pty.master);
    person.write_all(typed.as_bytes()).expect("type");
    let (mut screen, mut part) = (Vec::new(), [0; 4096]);
    // Linux says EIO when the other end is closed.
    while let Ok(n @ 1..) = person.read(&mut part) {
        screen.extend_from_slice(&part[..n]);
    }
    (child.wait().expect("wait").code().expect("code"), String::from_utf8(screen).expect("UTF-8"))
}

#[test]
fn a_person_is_asked_before_something_is_deleted() {
    let bed = Bed::start();
    let before = bed.ok(&["rules", "export"]);
    for no in ["n\n", "\n", "\u{4}"] {
        let (code, screen) = at_terminal(&bed, &["rules", "delete", "3"], no);
        assert_eq!(code, 1, "{screen}");
        assert!(screen.contains("delete rule 'watch the page'? [y/N]"), "{screen}");
        assert!(screen.contains("error: nothing was changed"), "{screen}");
    }
    assert_eq!(bed.ok(&["rules", "export"]), before);
    let (code, screen) = at_terminal(&bed, &["defenders", "delete", "db"], "n\n");
    assert!(code == 1 && screen.contains("delete host 'db'? [y/N]"), "{screen}");
    let (code, screen) = at_terminal(&bed, &["defenders", "revoke", "web1"], "n\n");
    assert!(code == 1 && screen.contains("revoke host 'web1'? [y/N]"), "{screen}");
    let (code, screen) = at_terminal(&bed, &["rules", "delete", "3"], "y\n");
    assert!(code == 0 && screen.contains("is deleted, revision 8"), "{screen}");
    let file = bed.file("policy.yaml", "version: 1\nrules: []\n");
    let (code, screen) = at_terminal(&bed, &["rules", "apply", "-f", &file], "y\n");
    assert!(code == 0 && screen.contains("- nobody else") && screen.contains("applied, revision 9"), "{screen}");
}

#[test]
fn a_terminal_gets_colours() {
    let bed = Bed::start();
    assert!(at_terminal(&bed, &["radar"], "").1.contains('\u{1b}'));
    assert!(!at_terminal(&bed, &["radar", "--no-color"], "").1.contains('\u{1b}'));
}
