//! Whether the commands that stand in the guides are commands of this program. Part of each program's tests.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Where people read commands.
const TEXTS: [&str; 4] = ["README.md", "SECURITY.md", "docs", "docs/guide"];
/// What stands in the guides for something of the reader's, where it has to be of a form.
const EXAMPLES: [(&str, &str); 5] =
    [("PORT", "80"), ("ID", "1"), ("REVISION", "1"), ("$REVISION", "1"), ("ROLE", "auditor")];

/// A command as a guide has it.
struct Written {
    /// `guide/rules.md: cnnfctl rules lint`
    place: String,
    words: Vec<String>,
    /// In the middle of a sentence, which may name a command without all that it needs.
    named: bool,
}

/// Reads every command of `program` in the guides by its command line.
///
/// # Panics
/// There is one that it does not understand, or fewer than `least` were found.
pub(crate) fn check(program: &clap::Command, least: usize) {
    let all: Vec<Written> = texts().iter().flat_map(|path| written(path, program.get_name())).collect();
    let wrong: Vec<String> = all.iter().filter_map(|written| wrong(program, written)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.len() >= least, "only {} commands were found", all.len());
}

fn wrong(program: &clap::Command, written: &Written) -> Option<String> {
    let error = program.clone().try_get_matches_from(&written.words).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => written.named,
        // an option without its value
        ErrorKind::InvalidValue => {
            written.named && error.get(ContextKind::InvalidValue) == Some(&ContextValue::String(String::new()))
        }
        _ => false,
    };
    (!is_fine).then(|| format!("{}: {error}", written.place))
}

fn texts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = Vec::new();
    for text in TEXTS {
        let path = root.join(text);
        if path.is_file() {
            texts.push(path);
            continue;
        }
        let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{text}: {error}"));
        texts.extend(
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension() == Some("md".as_ref())),
        );
    }
    texts
}

fn written(path: &Path, program: &str) -> Vec<Written> {
    let text = fs::read_to_string(path).expect("a guide").replace("\\\n", " ");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let of = |line: &str, named| {
        let place = format!("{name}: {}", line.trim());
        commands(line, program).into_iter().map(move |words| Written { place: place.clone(), words, named })
    };
    let mut all = Vec::new();
    // by turns a sentence, a block, a sentence
    for (n, part) in text.split("```").enumerate() {
        if n % 2 == 1 {
            // the first line says what it is
            all.extend(part.lines().skip(1).flat_map(|line| of(line.trim_start_matches("$ "), false)));
        } else {
            let part = part.replace('\n', " ").replace("\\|", "|");
            all.extend(part.split('`').skip(1).step_by(2).flat_map(|code| of(code, true)));
        }
    }
    all
}

/// The commands of `program` in a line of shell.
fn commands(line: &str, program: &str) -> Vec<Vec<String>> {
    let mut line = line.to_owned();
    while let Some(from) = line.find("$(")
        && let Some(length) = line[from..].find(')')
    {
        line.replace_range(from..=from + length, "X");
    }
    // an apostrophe that begins nothing: not shell
    let words = shlex::split(&line.replace(';', " ; ")).unwrap_or_default();
    let between = |word: &String| ["&&", "||", "|", ";"].contains(&word.as_str());
    let mut commands = Vec::new();
    for command in words.split(between) {
        let begins = command
            .iter()
            .take_while(|word| ["sudo", "if", "!"].contains(&word.as_str()) || word.contains('='))
            .count();
        if command.get(begins).is_none_or(|word| word != program) {
            continue;
        }
        let mut kept = Vec::new();
        let mut words = command[begins..].iter();
        while let Some(word) = words.next() {
            if word.starts_with(['<', '>']) {
                // `> file`, and not `>file`
                let _ = (word.len() == 1).then(|| words.next());
            } else if word != "…" {
                let one = word.split('|').next().unwrap_or_default();
                let example = EXAMPLES.iter().find(|(name, _)| *name == one.rsplit('/').next().unwrap_or_default());
                kept.push(example.map_or_else(|| one.to_owned(), |(name, value)| one.replace(name, value)));
            }
        }
        commands.push(kept);
    }
    commands
}

#[test]
fn commands_are_found_in_lines() {
    let found = |line| commands(line, "prog").into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(found("apt install ./prog && prog go --to tcp/PORT > x  # prog no"), ["prog go --to tcp/80"]);
    assert_eq!(found("sudo A=1 prog a 'b c' | jq .x; prog d $(date +%F)x <in"), ["prog a b c", "prog d Xx"]);
    assert_eq!(found("prog … learn start|stop || exit 1"), ["prog learn start"]);
    assert_eq!(found("systemctl start prog"), [""; 0]);
}

#[test]
fn what_is_no_command_is_found_out() {
    let program = clap::Command::new("prog")
        .subcommand_required(true)
        .subcommand(clap::Command::new("go").arg(clap::Arg::new("to").long("to").required(true)));
    let is_wrong = |words: &str, named| {
        let words = words.split(' ').map(str::to_owned).collect();
        wrong(&program, &Written { place: "here".into(), words, named }).is_some()
    };
    assert!(is_wrong("prog went --to x", true) && is_wrong("prog go --fast", true));
    assert!(["prog go", "prog go --to"].iter().all(|part| is_wrong(part, false) && !is_wrong(part, true)));
    assert!(!is_wrong("prog go --to x", false));
}
