//! Tables for people.

use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, Table};

use super::{Output, printable};

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Under way.
    Calm,
    /// To be looked at; orange where the terminal can.
    Warn,
    /// Refused or broken.
    Bad,
    /// Of no weight.
    Faint,
}

impl Tone {
    /// The tone of a word of the protocol.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "prevent" | "prevented" | "rule_prevent" | "anomaly_prevent" | "failed" | "refused" | "tamper" => Self::Bad,
            "alert"
            | "alerted"
            | "rule_alert"
            | "anomaly_alert"
            | "fail_open"
            | "gap"
            | "address_conflict"
            | "defender_offline"
            | "cloned"
            | "rule_expiring"
            | "rule_expired"
            | "reverted"
            | "would_rule_prevent"
            | "would_anomaly_prevent"
            | "unlearned" => Self::Warn,
            "allow" | "learned" | "active" | "applied" | "enforce" | "native" => Self::Good,
            "learning" | "dry_run" | "by_rule" | "new_service" => Self::Calm,
            "archived" | "observe" => Self::Faint,
            _ => Self::Plain,
        }
    }

    fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::DarkGreen),
            Self::Calm => Some(Color::DarkCyan),
            Self::Warn => Some(orange()),
            Self::Bad => Some(Color::DarkRed),
            Self::Faint => Some(Color::DarkGrey),
        }
    }

    /// `text` in this tone, if colours may be used.
    pub(crate) fn paint(self, text: &str, output: &Output) -> String {
        let code = match self.color().filter(|_| output.color()) {
            None => return text.to_owned(),
            Some(Color::DarkGreen) => "32",
            Some(Color::DarkCyan) => "36",
            Some(Color::DarkRed) => "31",
            Some(Color::DarkGrey) => "90",
            Some(Color::AnsiValue(_)) => "38;5;208",
            Some(_) => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Orange is not among the sixteen colours that every terminal has.
fn orange() -> Color {
    let many =
        std::env::var("TERM").is_ok_and(|term| term.contains("256color")) || std::env::var_os("COLORTERM").is_some();
    if many { Color::AnsiValue(208) } else { Color::DarkYellow }
}

/// A cell of a table; its text is made safe for a terminal.
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

impl Cell {
    /// A word of the protocol, in its tone.
    pub(crate) fn word(word: &str) -> Self {
        Self { tone: Tone::of(word), ..word.into() }
    }

    /// A number, aligned to the right.
    pub(crate) fn number(number: impl ToString) -> Self {
        Self { text: number.to_string(), tone: Tone::Plain, right: true }
    }

    /// Its text, safe for a terminal, and its tone.
    pub(crate) fn into_parts(self) -> (String, Tone) {
        (self.text, self.tone)
    }

    /// In this tone.
    pub(crate) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    /// The empty text shows as a dash.
    fn from(text: T) -> Self {
        match text.as_ref() {
            "" => Self { text: "–".into(), tone: Tone::Faint, right: false },
            text => Self { text: printable(text).into_owned(), tone: Tone::Plain, right: false },
        }
    }
}

/// A table without lines that fits the terminal.
pub(crate) struct Sheet {
    table: Table,
    output: Output,
}

impl Sheet {
    /// With these columns.
    pub(crate) fn new(output: &Output, header: &[&str]) -> Self {
        let mut sheet = Self { table: Table::new(), output: output.clone() };
        let bold = |text: &&str| comfy_table::Cell::new(text).add_attribute(Attribute::Bold);
        sheet.table.set_header(header.iter().map(bold).collect::<Vec<_>>());
        sheet
    }

    /// Of names and values.
    pub(crate) fn of_fields(output: &Output) -> Self {
        Self { table: Table::new(), output: output.clone() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        let convert = |cell: Cell| {
            let mut made = comfy_table::Cell::new(cell.text);
            if let Some(color) = cell.tone.color() {
                made = made.fg(color);
            }
            if cell.right { made.set_alignment(CellAlignment::Right) } else { made }
        };
        self.table.add_row(cells.into_iter().map(convert).collect::<Vec<_>>());
    }

    /// Adds a name and its value, unless that is empty.
    pub(crate) fn field(&mut self, name: &str, value: impl Into<Cell>) {
        let value: Cell = value.into();
        if value.text != "–" {
            self.row(vec![Cell::from(name).tone(Tone::Faint), value]);
        }
    }

    /// The text, without a line's end.
    pub(crate) fn render(mut self) -> String {
        self.table.load_style(comfy_table::presets::NOTHING);
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if let Some(width) = self.output.width {
            self.table.set_width(width);
        }
        if self.table.width().is_some() {
            self.table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if self.output.color() {
            self.table.enforce_styling();
        } else {
            self.table.force_no_tty();
        }
        self.table.trim_fmt()
    }
}

/// A number of bytes in the largest unit that leaves a digit before the point; a dash for 0, which stands for "not counted".
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    match bytes {
        0 => "–".into(),
        1..1024 => format!("{bytes} B"),
        _ => {
            let power = (bytes.ilog2() / 10).min(6);
            #[allow(clippy::cast_precision_loss)] // One digit after the point is shown.
            let value = bytes as f64 / (1u64 << (10 * power)) as f64;
            format!("{value:.1} {}", UNITS[power as usize - 1])
        }
    }
}

/// `1 rule`, `2 rules`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
