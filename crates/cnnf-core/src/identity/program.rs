//! What a program outside any unit is called.

use crate::id::ServiceKey;

/// An interpreter, as far as its command line has to be understood to find what it runs.
struct Interpreter {
    /// Its name without version.
    name: &'static str,
    /// Options after which a program's text or a file of standard input follows, never a script's path.
    inline: &'static [&'static str],
    /// Options that take the next argument.
    valued: &'static [&'static str],
    /// Options whose next argument is a module or package.
    module: &'static [&'static str],
    /// Options whose next argument is the script or jar.
    file: &'static [&'static str],
    /// Whether the first argument that is no option is a file; else it is a class.
    takes_file: bool,
}

const SHELL: Interpreter = Interpreter {
    name: "sh",
    inline: &["-c", "-s"],
    valued: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
    module: &[],
    file: &[],
    takes_file: true,
};

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        name: "python",
        inline: &["-c"],
        valued: &["-W", "-X", "--check-hash-based-pycs"],
        module: &["-m"],
        file: &[],
        takes_file: true,
    },
    Interpreter {
        name: "node",
        inline: &["-e", "--eval", "-p", "--print", "-i"],
        valued: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--env-file",
        ],
        module: &[],
        file: &[],
        takes_file: true,
    },
    Interpreter {
        name: "ruby",
        inline: &["-e"],
        valued: &["-I", "-r", "-C", "-E"],
        module: &[],
        file: &[],
        takes_file: true,
    },
    Interpreter { name: "perl", inline: &["-e", "-E"], valued: &["-I"], module: &[], file: &[], takes_file: true },
    Interpreter {
        name: "php",
        inline: &["-r", "-B", "-R", "-E", "-S", "-a"],
        valued: &["-d", "-c", "-t", "-z"],
        module: &[],
        file: &["-f", "-F", "--file"],
        takes_file: true,
    },
    Interpreter {
        name: "java",
        inline: &[],
        valued: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--add-opens",
            "--add-exports",
            "--add-modules",
            "--add-reads",
            "--upgrade-module-path",
            "--limit-modules",
        ],
        module: &["-m", "--module"],
        file: &["-jar"],
        takes_file: false,
    },
];

/// Names the program that runs `exe` (the target of `/proc/PID/exe`) with these arguments (the first one is its own name).
///
/// An interpreter is called by what it runs: the script or jar by its path (`cwd` makes a relative one absolute), a module or class as
/// `exe:python -m http.server`. Where that cannot be told (`sh -c …`, a script from standard input, a relative path with no `cwd`) it is
/// called by its own path. No executable at all is `unknown`.
#[must_use]
pub fn program(exe: &str, cmdline: &[&str], cwd: Option<&str>) -> ServiceKey {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    if exe.is_empty() {
        return ServiceKey::unknown();
    }
    let runs = interpreter(exe).and_then(|i| what_it_runs(i, cmdline.get(1..).unwrap_or_default(), cwd));
    ServiceKey::program(runs.as_deref().unwrap_or(exe))
}

fn interpreter(exe: &str) -> Option<&'static Interpreter> {
    let base = exe.rsplit('/').next().unwrap_or(exe);
    let bare = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if matches!(bare, "sh" | "bash" | "dash" | "ksh" | "zsh" | "ash") {
        return Some(&SHELL);
    }
    let bare = if bare == "nodejs" { "node" } else { bare };
    INTERPRETERS.iter().find(|i| i.name == bare)
}

fn what_it_runs(i: &Interpreter, args: &[&str], cwd: Option<&str>) -> Option<String> {
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if i.module.contains(&arg) {
            return args.next().filter(|module| !module.is_empty()).map(|module| format!("{} -m {module}", i.name));
        }
        if i.file.contains(&arg) {
            return absolute(args.next()?, cwd);
        }
        if arg == "-" || i.inline.contains(&arg) {
            return None;
        }
        if i.valued.contains(&arg) {
            args.next();
            continue;
        }
        if arg == "--" {
            return absolute(args.next()?, cwd);
        }
        if arg.starts_with('-') || (arg.starts_with('+') && i.name == SHELL.name) {
            // a cluster of a shell's one-letter options, such as -ec, may end in a command
            if i.name == SHELL.name && !arg.starts_with("--") && arg.contains(['c', 's']) {
                return None;
            }
            continue;
        }
        return if i.takes_file { absolute(arg, cwd) } else { Some(format!("{} {arg}", i.name)) };
    }
    None
}

/// `path` without `.`, `..` and doubled slashes, by its text alone.
fn absolute(path: &str, cwd: Option<&str>) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    let whole =
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", cwd.filter(|c| c.starts_with('/'))?) };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}
