//! How answers are printed.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use cnnf_rpc::json::{self, JsonMessage};

use crate::failure::Failure;

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::{Cell, Sheet, Tone, bytes, count};

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people, with everything.
    Wide,
    /// proto3 JSON of the answer.
    Json,
    /// The same as YAML.
    Yaml,
    /// Graphviz; of the picture only.
    Dot,
}

/// Where and how to print.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    format: Format,
    color: bool,
    quiet: bool,
    width: Option<u16>,
}

impl Output {
    /// For this process's standard output. Colours are for terminals, unless `NO_COLOR` or `CLICOLOR_FORCE` say otherwise.
    pub(crate) fn new(format: Format, no_color: bool, quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = !no_color && !set("NO_COLOR") && (set("CLICOLOR_FORCE") || (io::stdout().is_terminal() && !dumb));
        Self { format, color, quiet, width: None }
    }

    /// Without colours, for this width.
    pub(crate) fn plain(format: Format, width: Option<u16>) -> Self {
        Self { format, color: false, quiet: false, width }
    }

    /// Whether everything is wanted.
    pub(crate) fn wide(&self) -> bool {
        self.format == Format::Wide
    }

    /// Whether a program reads this.
    pub(crate) fn for_programs(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// Whether YAML is wanted.
    pub(crate) fn yaml(&self) -> bool {
        self.format == Format::Yaml
    }

    /// Whether Graphviz is wanted.
    pub(crate) fn dot(&self) -> bool {
        self.format == Format::Dot
    }

    /// Whether colours may be used.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Prints `message`: as JSON or YAML, or what `people` makes of it.
    pub(crate) fn show<M>(&self, message: &M, people: impl FnOnce() -> String) -> Result<(), Failure>
    where
        M: prost::Message + prost::Name,
    {
        let text = match self.format {
            Format::Json => safe_json(&json::to_string_pretty(message)?),
            Format::Yaml => to_yaml(&JsonMessage::new(message)?)?,
            Format::Table | Format::Wide | Format::Dot => people(),
        };
        print(text.trim_end_matches('\n'))
    }

    /// Prints one `message` of a stream: as JSON in one line, as a YAML document, or what `people` makes of it.
    pub(crate) fn show_next<M>(&self, message: &M, people: impl FnOnce() -> String) -> Result<(), Failure>
    where
        M: prost::Message + prost::Name,
    {
        let text = match self.format {
            Format::Json => safe_json(&json::to_string(message)?),
            Format::Yaml => format!("---\n{}", to_yaml(&JsonMessage::new(message)?)?),
            Format::Table | Format::Wide | Format::Dot => people(),
        };
        print(text.trim_end_matches('\n'))
    }

    /// Prints `message` for programs; for people only `done`, and nothing if they want quiet.
    pub(crate) fn done<M>(&self, message: &M, done: impl FnOnce() -> String) -> Result<(), Failure>
    where
        M: prost::Message + prost::Name,
    {
        if self.quiet && !self.for_programs() { Ok(()) } else { self.show(message, done) }
    }

    /// Says something beside the output, on standard error.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// Prints a text and a line's end.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
        Err(error) => Err(Failure::Unreachable(format!("cannot write the output: {error}"))),
    }
}

/// Asks on the terminal whether to go on; `yes` answers for the person. Without a terminal, says how to answer.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!("{question}: nobody is there to ask, so say --yes")));
    }
    eprint!("{question}? [y/N] ");
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::Usage(format!("cannot read the answer: {error}")))?;
    if matches!(line.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::No("nothing was changed".into())) }
}

/// YAML of any value, with nothing in it that could steer a terminal.
pub(crate) fn to_yaml<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Unreachable(format!("cannot write YAML: {error}"));
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(value, options).map_err(|error| failed(&error))?;
    if !text.chars().any(|c| c != '\n' && steers(c)) {
        return Ok(text);
    }
    // Such a character can only be escaped in a quoted text. All texts are quoted in JSON, which is YAML too.
    let text = serde_json::to_string_pretty(value).map_err(|error| failed(&error))?;
    Ok(escaped(&text, |c| format!("\\U{:08x}", u32::from(c))))
}

/// JSON with nothing in it that could steer a terminal.
fn safe_json(text: &str) -> String {
    escaped(text, |c| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect())
}

/// JSON with escapes for what would steer a terminal: such characters stand in texts only.
fn escaped(json: &str, escape: impl Fn(char) -> String) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && steers(c) { safe.push_str(&escape(c)) } else { safe.push(c) }
    }
    safe
}

/// Whether a terminal does something else than show the character: controls, and invisible characters that reorder, join or hide text
/// (Unicode categories Cc and Cf, line and paragraph separators, as of Unicode 16).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// `text` as it can be shown on a terminal, in one line: what would steer it is written as an escape. For every text that a host or
/// another person has chosen.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if steers(c) && c.is_ascii() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if steers(c) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}
