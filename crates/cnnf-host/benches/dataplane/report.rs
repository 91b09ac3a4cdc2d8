//! Pairs, their ratios, and the bars that they are held against.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Fallible;

/// What a ratio of ours to the baseline's must be.
#[derive(Clone, Copy)]
pub(crate) struct Bar {
    what: &'static str,
    least: Option<f64>,
    most: Option<f64>,
}

impl Bar {
    pub(crate) fn at_least(what: &'static str, least: f64) -> Self {
        Self { what, least: Some(least), most: None }
    }

    pub(crate) fn at_most(what: &'static str, most: f64) -> Self {
        Self { what, least: None, most: Some(most) }
    }

    /// No bar: only shown.
    pub(crate) const fn none(what: &'static str) -> Self {
        Self { what, least: None, most: None }
    }

    fn text(self) -> String {
        match (self.least, self.most) {
            (Some(bar), _) => format!("≥ {bar}"),
            (_, Some(bar)) => format!("≤ {bar}"),
            _ => "–".into(),
        }
    }

    fn holds(self, ratio: f64) -> Option<bool> {
        self.least.map(|bar| ratio >= bar).or_else(|| self.most.map(|bar| ratio <= bar))
    }
}

/// What was measured of two ways in turns: the baseline's figures and ours.
pub(crate) struct Measured {
    what: &'static str,
    base: &'static str,
    name: &'static str,
    pub(crate) pairs: Vec<(Vec<f64>, Vec<f64>)>,
    pub(crate) thrown_away: usize,
}

impl Measured {
    pub(crate) fn new(what: &'static str, base: &'static str, name: &'static str) -> Self {
        Self { what, base, name, pairs: Vec::new(), thrown_away: 0 }
    }
}

/// All rows.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<String>,
    missed: usize,
}

impl Report {
    /// Prints and keeps a row for each figure.
    pub(crate) fn add(&mut self, measured: Measured, bars: &[Bar]) {
        let Measured { what, base, name, pairs, thrown_away } = measured;
        println!("\n{what}: {name} beside {base} ({} pairs, {thrown_away} thrown away)", pairs.len());
        if pairs.is_empty() {
            println!("  the machine was never quiet enough");
            return;
        }
        for (n, bar) in bars.iter().enumerate() {
            let [of_base, ours, ratio] = [
                median(pairs.iter().map(|(base, _)| base[n])),
                median(pairs.iter().map(|(_, ours)| ours[n])),
                median(pairs.iter().map(|(base, ours)| ours[n] / base[n])),
            ];
            let holds = bar.holds(ratio);
            self.missed += usize::from(holds == Some(false));
            let verdict = holds.map_or("", |holds| if holds { "holds" } else { "MISSED" });
            println!(
                "  {:<22} {of_base:>12.1} {ours:>12.1}   ratio {ratio:>7.3}   bar {:<7} {verdict}",
                bar.what,
                bar.text()
            );
            let mut row = format!(
                "  {{\"what\": \"{what}\", \"figure\": \"{}\", \"baseline\": \"{base}\", \"way\": \"{name}\", \"of_baseline\": {of_base:.2}, \"of_way\": {ours:.2}, \"ratio\": {ratio:.4}, \"pairs\": {}, \"thrown_away\": {thrown_away}",
                bar.what,
                pairs.len(),
            );
            if let Some(holds) = holds {
                let _ = write!(row, ", \"bar\": \"{}\", \"holds\": {holds}", bar.text());
            }
            self.rows.push(row + "}");
        }
    }

    /// Writes them down.
    pub(crate) fn finish(self) -> Fallible<()> {
        let load = fs::read_to_string("/proc/loadavg")?;
        println!("\nload of the machine at the end: {}", load.trim());
        println!(
            "{}",
            if self.missed == 0 { "every bar holds".to_owned() } else { format!("{} bars are missed", self.missed) }
        );
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
        fs::create_dir_all(&out)?;
        fs::write(out.join("dataplane.json"), format!("[\n{}\n]\n", self.rows.join(",\n")))?;
        Ok(())
    }
}

fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
