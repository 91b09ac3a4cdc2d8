//! What a program outside any unit is called.

use crate::id::ServiceKey;

/// An interpreter, as far as its command line has to be understood to find what it runs.
struct Interpreter {
    /// Its name without version.
    name: &'static str,
    /// Its options of one letter; several may stand behind one dash.
    letters: Letters,
    /// Whole options after which no script's path follows: a program's text, standard input, a server of its own.
    inline: &'static [&'static str],
    /// Whole options that take the next argument.
    valued: &'static [&'static str],
    /// Whole options whose value is a module or package.
    module: &'static [&'static str],
    /// Whole options whose next argument is the script or jar.
    file: &'static [&'static str],
    /// Words before the script that say that one follows; any other word is a command of the interpreter's own.
    commands: &'static [&'static str],
    /// What the first argument that is no option is.
    first: First,
}

/// Options of one letter. Those that are not here take no value.
struct Letters {
    /// No script's path follows.
    inline: &'static str,
    /// The rest of the argument, or else the next one, is a value.
    valued: &'static str,
    /// The rest of the argument is a value, and may be empty.
    glued: &'static str,
    /// The rest, or else the next one, is a module.
    module: &'static str,
    /// The rest, or else the next one, is the script.
    file: &'static str,
}

/// What the first argument that is no option is.
enum First {
    /// A file.
    File,
    /// A class, or a source file if it ends so.
    Class,
    /// A file, or the address of a module.
    Specifier,
}

const NO_LETTERS: Letters = Letters { inline: "", valued: "", glued: "", module: "", file: "" };

const PLAIN: Interpreter = Interpreter {
    name: "",
    letters: NO_LETTERS,
    inline: &[],
    valued: &[],
    module: &[],
    file: &[],
    commands: &[],
    first: First::File,
};

/// bash(1), dash(1).
const SHELL: Interpreter = Interpreter {
    name: "sh",
    letters: Letters { inline: "cs", ..NO_LETTERS },
    valued: &["--rcfile", "--init-file"],
    ..PLAIN
};

const INTERPRETERS: &[Interpreter] = &[
    // python(1)
    Interpreter {
        name: "python",
        letters: Letters { inline: "c", valued: "WX", module: "m", ..NO_LETTERS },
        valued: &["--check-hash-based-pycs"],
        ..PLAIN
    },
    // node(1)
    Interpreter {
        name: "node",
        letters: Letters { inline: "epi", valued: "rC", ..NO_LETTERS },
        inline: &["--eval", "--print", "--interactive", "--test"],
        valued: &[
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "--conditions",
            "--env-file",
            "--env-file-if-exists",
            "--input-type",
            "--title",
            "--watch-path",
            "--diagnostic-dir",
            "--icu-data-dir",
            "--openssl-config",
            "--redirect-warnings",
        ],
        ..PLAIN
    },
    // ruby(1)
    Interpreter {
        name: "ruby",
        letters: Letters { inline: "e", valued: "IrCE", glued: "FiKTWx", ..NO_LETTERS },
        valued: &["--encoding", "--external-encoding", "--internal-encoding"],
        ..PLAIN
    },
    // perlrun(1)
    Interpreter {
        name: "perl",
        letters: Letters { inline: "eE", valued: "I", glued: "CDFMVdimx", ..NO_LETTERS },
        ..PLAIN
    },
    // php(1)
    Interpreter {
        name: "php",
        letters: Letters { inline: "rBRESa", valued: "dctzg", file: "fF", ..NO_LETTERS },
        inline: &["--run", "--process-begin", "--process-code", "--process-end", "--server", "--interactive"],
        valued: &["--define", "--php-ini", "--docroot", "--zend-extension"],
        file: &["--file", "--process-file"],
        ..PLAIN
    },
    // java(1)
    Interpreter {
        name: "java",
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
            "--enable-native-access",
            "--source",
        ],
        module: &["-m", "--module"],
        file: &["-jar"],
        first: First::Class,
        ..PLAIN
    },
    // `deno run --help`
    Interpreter {
        name: "deno",
        letters: Letters { valued: "cL", ..NO_LETTERS },
        valued: &["--config", "--import-map", "--cert", "--location", "--seed", "--log-level", "--port", "--host"],
        commands: &["run", "serve"],
        first: First::Specifier,
        ..PLAIN
    },
    // `bun --help`
    Interpreter {
        name: "bun",
        letters: Letters { inline: "ep", valued: "rc", ..NO_LETTERS },
        inline: &["--eval", "--print"],
        valued: &["--preload", "--require", "--import", "--config", "--cwd", "--env-file", "--port", "--conditions"],
        commands: &["run"],
        first: First::Specifier,
        ..PLAIN
    },
];

/// Names the program that runs `exe` (the target of `/proc/PID/exe`) with these arguments (the first one is its own name).
///
/// An interpreter is called by what it runs: the script or jar by its path (`cwd` makes a relative one absolute), a module or class as
/// `exe:python -m http.server`, and one of the programs in busybox as `exe:/bin/busybox httpd`. Where that cannot be told (`sh -c …`, a
/// script from standard input, a relative path with no `cwd`, a title written over the arguments) it is called by its own path. No
/// executable at all is `unknown`.
#[must_use]
pub fn program(exe: &str, cmdline: &[&str], cwd: Option<&str>) -> ServiceKey {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    if exe.is_empty() {
        return ServiceKey::unknown();
    }
    let args = cmdline.get(1..).unwrap_or_default();
    let base = base(exe);
    if base == "busybox" || base.starts_with("busybox.") {
        return ServiceKey::program(&in_busybox(exe, cmdline, cwd).unwrap_or_else(|| exe.to_owned()));
    }
    let runs = interpreter(base).and_then(|i| what_it_runs(i, args, cwd));
    let runs = runs.map(|runs| if base == "ruby" || is_version_of("ruby", base) { bundled(runs, args) } else { runs });
    ServiceKey::program(runs.as_deref().unwrap_or(exe))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `python3.13t` is a version of `python`.
fn is_version_of(name: &str, base: &str) -> bool {
    let Some(version) = base.strip_prefix(name) else { return false };
    let version = version.strip_suffix(['d', 'm', 't']).unwrap_or(version);
    version.bytes().all(|c| c.is_ascii_digit() || c == b'.')
}

fn interpreter(base: &str) -> Option<&'static Interpreter> {
    if ["sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh"].iter().any(|shell| is_version_of(shell, base)) {
        return Some(&SHELL);
    }
    let base = match base {
        "nodejs" => "node",
        pypy if is_version_of("pypy", pypy) => "python",
        base => base,
    };
    INTERPRETERS.iter().find(|i| is_version_of(i.name, base))
}

/// busybox is called by the name of one of its programs, or has it as its first argument.
fn in_busybox(exe: &str, cmdline: &[&str], cwd: Option<&str>) -> Option<String> {
    let mut rest = cmdline;
    let mut applet = "busybox";
    while applet == "busybox" {
        let (first, others) = rest.split_first()?;
        (applet, rest) = (base(first.trim_start_matches('-')), others);
    }
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'[' | b'.'))
    };
    let script = matches!(applet, "sh" | "ash" | "hush").then(|| what_it_runs(&SHELL, rest, cwd)).flatten();
    script.or_else(|| is_name(applet).then(|| format!("{exe} {applet}")))
}

/// Bundler loads what it is told to, in its own process: `bundle exec puma`.
fn bundled(script: String, args: &[&str]) -> String {
    let after = args.iter().skip_while(|arg| !matches!(base(arg), "bundle" | "bundler")).nth(1);
    let command = args.iter().skip_while(|arg| **arg != "exec").nth(1).map(|command| base(command));
    match command {
        Some(command)
            if matches!(base(&script), "bundle" | "bundler") && after == Some(&"exec") && !command.is_empty() =>
        {
            format!("bundle exec {command}")
        }
        _ => script,
    }
}

fn what_it_runs(i: &Interpreter, args: &[&str], cwd: Option<&str>) -> Option<String> {
    let mut args = args.iter().copied();
    let mut commanded = i.commands.is_empty();
    let mut in_file = false;
    let module = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(|name| format!("{} -m {name}", i.name));
    while let Some(arg) = args.next() {
        if i.module.contains(&arg) {
            return module(args.next());
        }
        if let Some((option, value)) = arg.split_once('=')
            && i.module.contains(&option)
        {
            return module(Some(value));
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
        if i.name == SHELL.name && arg.starts_with(['-', '+']) && !arg.starts_with("--") {
            // each o and O in a cluster takes an argument, wherever it stands: -euo pipefail
            if arg.starts_with('-') && arg.contains(['c', 's']) {
                return None;
            }
            for _ in arg.matches(['o', 'O']) {
                args.next();
            }
            continue;
        }
        if let Some(cluster) = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
            match i.letters.read(cluster) {
                Cluster::Flags => {}
                Cluster::Inline => return None,
                Cluster::Value(true) => drop(args.next()),
                Cluster::Value(false) => {}
                Cluster::Module(name) => return module(name.or_else(|| args.next())),
                Cluster::File(path) => return absolute(path.or_else(|| args.next())?, cwd),
            }
            continue;
        }
        if arg.starts_with("--") {
            continue;
        }
        // java's options may stand in files, and so may the class
        if matches!(i.first, First::Class) && arg.starts_with('@') {
            in_file = true;
            continue;
        }
        if in_file || arg.is_empty() {
            return None;
        }
        if !commanded {
            commanded = true;
            if i.commands.contains(&arg) {
                continue;
            }
            // a command of its own, such as `deno task`
            if !arg.contains(['.', '/']) {
                return None;
            }
        }
        return match i.first {
            First::File => absolute(arg, cwd),
            First::Class if arg.ends_with(".java") => absolute(arg, cwd),
            First::Class => Some(format!("{} {arg}", i.name)),
            First::Specifier if arg.contains("://") || arg.starts_with("npm:") || arg.starts_with("jsr:") => {
                Some(format!("{} {arg}", i.name))
            }
            First::Specifier if arg.contains(['.', '/']) => absolute(arg, cwd),
            // a script of package.json
            First::Specifier => Some(format!("{} run {arg}", i.name)),
        };
    }
    None
}

/// What options behind one dash come to.
enum Cluster<'a> {
    /// Nothing follows.
    Flags,
    /// No script follows.
    Inline,
    /// A value; whether it is the next argument.
    Value(bool),
    /// A module; `None` if it is the next argument.
    Module(Option<&'a str>),
    /// The script; likewise.
    File(Option<&'a str>),
}

impl Letters {
    fn read<'a>(&self, cluster: &'a str) -> Cluster<'a> {
        for (at, letter) in cluster.char_indices() {
            let rest = Some(&cluster[at + letter.len_utf8()..]).filter(|rest| !rest.is_empty());
            if self.inline.contains(letter) {
                return Cluster::Inline;
            }
            if self.module.contains(letter) {
                return Cluster::Module(rest);
            }
            if self.file.contains(letter) {
                return Cluster::File(rest);
            }
            if self.valued.contains(letter) {
                return Cluster::Value(rest.is_none());
            }
            if self.glued.contains(letter) {
                return Cluster::Value(false);
            }
        }
        Cluster::Flags
    }
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
