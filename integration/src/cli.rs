//! The command line of `cnnf-lab`.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use cnnf_core::net::AddrRange;
use nix::sys::signal::Signal;

use crate::bed::{Bed, make};
use crate::booted;
use crate::control::{self, Act};
use crate::enter::{self, Placement};
use crate::error::{Error, Result};
use crate::layout::WorldDir;
use crate::replay::{self, LearnUntil};
use crate::{down, host, launch, up};

/// Small worlds of hosts on one machine.
///
/// A world is a TOML file: hosts with services, and a controller whose defenders run on them. Every host has
/// namespaces and a cgroup tree of its own; nothing of it is left after `down`. Exit codes: 0 done, 1 a step failed,
/// 2 wrong usage, 3 cannot reach or not allowed; `exec` and `ctl` give the exit code of what they ran.
#[derive(Parser)]
#[command(name = "cnnf-lab", version)]
struct Cli {
    /// The world's folder: it names the world, several run beside each other.
    #[arg(long, global = true, env = "CNNF_LAB_DIR", default_value = "/run/cnnf-lab", value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    act: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start everything in a world file; returns when all is ready.
    Up {
        /// The world file.
        world: PathBuf,
        /// What hosts are made of.
        #[arg(long, default_value_t = Bed::Netns, value_name = "netns|systemd[/SUITE]")]
        bed: Bed,
        /// Take the world down when this process ends.
        #[arg(long = "while", value_name = "PID")]
        while_pid: Option<i32>,
    },
    /// Run a command in a host, as a login session unless a unit is named.
    Exec {
        /// A host of the world, or `controller`.
        host: String,
        /// Run it as (part of) this unit.
        #[arg(long, value_name = "NAME", conflicts_with = "session")]
        unit: Option<String>,
        /// Run it as a login session of root.
        #[arg(long)]
        session: bool,
        /// For `up` itself: the world is not up yet.
        #[arg(long, hide = true)]
        unfinished: bool,
        /// Program and arguments.
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Run cnnfctl with the world's admin context.
    Ctl {
        /// Arguments of cnnfctl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Show hosts, addresses and units.
    Status {
        /// How to show it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Print what a host's units wrote.
    Logs {
        /// A host of the world, or `controller`.
        host: String,
        /// One unit only (or `init`, the host's own init).
        unit: Option<String>,
    },
    /// Start a unit and wait until it is ready.
    Start {
        /// A host of the world, or `controller`.
        host: String,
        /// The unit.
        unit: String,
    },
    /// Stop a unit; it stays stopped until it is started.
    Stop {
        /// A host of the world, or `controller`.
        host: String,
        /// The unit.
        unit: String,
    },
    /// Stop a unit, start it again in a new cgroup, and wait until it is ready.
    Restart {
        /// A host of the world, or `controller`.
        host: String,
        /// The unit.
        unit: String,
    },
    /// Send a signal to all processes of a unit; one that ends of it is started again.
    Kill {
        /// A host of the world, or `controller`.
        host: String,
        /// The unit.
        unit: String,
        /// Name (KILL, STOP, CONT, …) or number.
        #[arg(short, long, default_value = "TERM", value_parser = parse_signal)]
        signal: Signal,
    },
    /// End the world and remove everything it made; also after a crash, also twice.
    Down,
    /// Send recorded traffic through the topology, the models and the evaluation, by the recording's own clock.
    ///
    /// A local address is a host. What it opens is one service, its client; what listens is a service a port, from the first connection
    /// to it that was answered; other attempts are edges to `kernel`. Without --learn-until the models' own durations count: an hour
    /// of learning, a day of dry run.
    Replay {
        /// Zeek's conn.log, as JSON lines or tab-separated; several are sorted together.
        #[arg(required = true, value_name = "CONN.LOG")]
        logs: Vec<PathBuf>,
        /// Learn so much of the connections (0.5), or until this time (RFC 3339), then make every model active.
        #[arg(long, value_name = "FRACTION|TIME")]
        learn_until: Option<LearnUntil>,
        /// Addresses that are hosts; may be repeated. Without it those that the log calls local, else private ones.
        #[arg(long, value_name = "CIDR", value_parser = parse_range)]
        local: Vec<AddrRange>,
        /// How to show it.
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// The Debian trees that hosts of `--bed systemd` boot, in /var/cache/cnnf-lab or CNNF_BEDS.
    Bed {
        #[command(subcommand)]
        act: BedVerb,
    },
    #[command(hide = true)]
    BootSystemd { cgroup: PathBuf, plan: PathBuf },
    #[command(hide = true)]
    Inside {
        pid: i32,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    #[command(hide = true)]
    Answer { request: String },
    #[command(hide = true)]
    Boot { cgroup: PathBuf, plan: PathBuf },
    #[command(hide = true)]
    Init { plan: PathBuf },
    #[command(hide = true)]
    Launch(launch::Launch),
    #[command(hide = true)]
    Net {
        pid: i32,
        #[arg(long)]
        cgroup: Option<PathBuf>,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    #[command(hide = true)]
    Guard { pid: i32 },
}

#[derive(Subcommand)]
enum BedVerb {
    /// Make the tree of a Debian suite with debootstrap; kept when it is there already.
    Make {
        /// bookworm, trixie, …
        suite: String,
        /// The Debian mirror, else that of this machine's apt sources.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// One more package in the tree; may be repeated.
        #[arg(long, value_name = "PACKAGE")]
        include: Vec<String>,
        /// Replace the tree that is there; take worlds that use it down first.
        #[arg(long)]
        again: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let by_number = text.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    by_number.or_else(|| name.parse().ok()).ok_or_else(|| "no such signal, see kill -l".to_owned())
}

fn parse_range(text: &str) -> Result<AddrRange, String> {
    text.parse().map_err(|error: cnnf_core::net::ParseError| error.to_string())
}

/// The program: reads the command line, does what it says, gives the exit code.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8> {
    let dir = WorldDir::new(&cli.dir)?;
    let mut out = io::stdout().lock();
    match cli.act {
        Verb::Up { world, bed, while_pid } => {
            let (state, times) = up::up(&world, &dir, bed, while_pid)?;
            say(writeln!(out, "up in {times}"));
            say(control::status(&dir, &state).print_table(&mut out));
        }
        Verb::Exec { host, unit, session: _, unfinished, command } => {
            let state = if unfinished { dir.load()? } else { Some(dir.load_up()?) };
            let state = state.ok_or_else(|| Error::Unreachable("no world is begun here".to_owned()))?;
            state.check_node(&host)?;
            let placement = unit.as_deref().map_or(Placement::Session, Placement::Unit);
            return enter::execute(&dir, &state, &host, placement, &command);
        }
        Verb::Ctl { mut arguments } => {
            if arguments.first().is_some_and(|first| first == "--") {
                arguments.remove(0);
            }
            let error = control::command(&dir, &dir.load_up()?, &arguments)?.exec();
            return Err(Error::Failed(format!("cannot run cnnfctl: {error}")));
        }
        Verb::Status { output } => {
            let report = control::status(&dir, &dir.load_up()?);
            match output {
                Format::Table => say(report.print_table(&mut out)),
                Format::Json => {
                    let text = serde_json::to_string_pretty(&report)
                        .map_err(|error| Error::Failed(format!("cannot write the state: {error}")))?;
                    say(writeln!(out, "{text}"));
                }
            }
        }
        Verb::Logs { host, unit } => {
            dir.load_up()?.check_node(&host)?;
            control::logs(&dir, &host, unit.as_deref(), &mut out)?;
        }
        Verb::Start { host, unit } => act(&dir, &host, &unit, Act::Start)?,
        Verb::Stop { host, unit } => act(&dir, &host, &unit, Act::Stop)?,
        Verb::Restart { host, unit } => act(&dir, &host, &unit, Act::Restart)?,
        Verb::Kill { host, unit, signal } => act(&dir, &host, &unit, Act::Kill(signal))?,
        Verb::Down => {
            let found = down::down(&dir)?;
            let path = dir.path().display();
            say(writeln!(
                out,
                "{}",
                if found { format!("the world in {path} is down") } else { format!("no world in {path}") }
            ));
        }
        Verb::Replay { logs, learn_until, local, output } => {
            replay::replay(&logs, learn_until, &local, output == Format::Json, &mut out)?;
        }
        Verb::Bed { act: BedVerb::Make { suite, mirror, include, again } } => {
            make::make(&suite, mirror.as_deref(), &include, again, &mut out)?;
        }
        Verb::BootSystemd { cgroup, plan } => booted::boot(&cgroup, &plan)?,
        Verb::Inside { pid, command } => return booted::run_inside(pid, &command),
        Verb::Answer { request } => {
            let text = serde_json::to_string(&booted::answer(&request)?)
                .map_err(|error| Error::Failed(format!("cannot write the answer: {error}")))?;
            say(writeln!(out, "{text}"));
        }
        Verb::Boot { cgroup, plan } => host::start(&cgroup, &plan)?,
        Verb::Init { plan } => host::init(&plan)?,
        Verb::Launch(launch) => {
            let (error, code) = launch.become_command();
            eprintln!("error: {error}");
            return Ok(code);
        }
        Verb::Net { pid, cgroup, command } => return Err(host::become_in_network(pid, cgroup.as_deref(), &command)),
        Verb::Guard { pid } => down::guard(&dir, pid)?,
    }
    Ok(0)
}

fn act(dir: &WorldDir, host: &str, unit: &str, act: Act) -> Result<()> {
    dir.load_up()?.check_node(host)?;
    control::act(dir, host, unit, act)
}

// A reader that went away (`cnnf-lab status | head`) is no failure of ours.
fn say(written: io::Result<()>) {
    drop(written);
}
