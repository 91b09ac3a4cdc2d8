//! What the table costs: beside no firewall, connection tracking alone, the smallest queue in user space, and OpenSnitch.
//!
//! Root: makes network namespaces and control groups of its own and removes them. Each way of filtering has a lane of its own
//! ([`lane`]); they are measured in turns ([`turns`]), so that all meet the machine as it is just then, and the median of the rounds'
//! ratios is held against a bar. Rounds whose baseline is disturbed are thrown away and counted. Prints a table and writes
//! `target/bench/dataplane.json`. `cargo bench -p cnnf-host --bench dataplane -- --only bulk,queue` measures only these [`parts`].

mod lane;
mod load;
mod parts;
mod report;
mod table;
mod turns;
mod ways;

use lane::Groups;
use report::Report;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("--load") {
        return load::run(&arguments[2..]);
    }
    let only = arguments.iter().position(|argument| argument == "--only").and_then(|at| arguments.get(at + 1));
    let only: Option<Vec<&str>> = only.map(|names| names.split(',').collect());
    let known = parts::ALL.map(|(name, _)| name);
    if let Some(name) = only.iter().flatten().find(|name| !known.contains(name)) {
        return Err(format!("--only {name}: there are {}", known.join(", ")).into());
    }
    let groups = Groups::make()?;
    let mut report = Report::default();
    for (name, measure) in parts::ALL {
        if only.as_ref().is_none_or(|only| only.contains(&name)) {
            measure(&mut report, &groups)?;
        }
    }
    report.finish()
}
