//! What a controller takes for many defenders: `cargo bench -p cnnf-controller --bench herd -- 250 500 1000 2000`.
//!
//! Real processes, real TLS and gRPC; the defenders live in this process. Bars, for 2,000: back within 30 s of a restart without an
//! error, 20,000 flow records a second into SQLite, at most 500 MB, a rule at every host within 2 s (p99).
#![allow(dead_code, unused_imports, missing_docs, reason = "the tests' own modules, of which this uses a part")]

#[path = "../tests/controller/herd.rs"]
mod herd;
#[path = "../tests/controller/place/mod.rs"]
mod place;
#[path = "../../../integration/plot.rs"]
mod plot;

use std::time::Duration;

use herd::Herd;
use place::Place;
use plot::{Bar, Line, Titles, chart};
use serde_json::json;

/// How far beyond what is measured the pictures lead.
const FAR: f64 = 25_000.0;
/// Flow records a second.
const RECORDS: usize = 20_000;

fn main() {
    let counts: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![250, 500, 1000, 2000] } else { counts };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("defenders    back s  failed  durable ms  rule p50 ms  rule p99 ms   CPU %  RSS MB");
    let rows: Vec<serde_json::Value> = counts.into_iter().map(|count| runtime.block_on(measure(count))).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("herd.json"), json!(rows).to_string()).expect("written");
    if rows.len() > 2 {
        pictures(&folder, &rows);
    }
}

/// Memory and times over the number of defenders, and where a straight line through them leads.
fn pictures(folder: &std::path::Path, rows: &[serde_json::Value]) {
    let points = |key: &str, scale: f64| -> Vec<(f64, f64)> {
        let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap_or_default();
        rows.iter().map(|row| (number(row, "defenders"), number(row, key) / scale)).collect()
    };
    let write = |name: &str, title: &str, unit: &str, all: Vec<(&'static str, Vec<(f64, f64)>)>, bars: &[Bar<'_>]| {
        let lines: Vec<Line<'_>> =
            all.into_iter().map(|(name, points)| Line { name, to: Some(lead(&points, FAR)), points }).collect();
        for line in &lines {
            let (defenders, led) = line.to.expect("it leads somewhere");
            println!("{title}, {}: {led:.1} {unit} for {defenders} defenders, by a straight line", line.name);
        }
        let titles = Titles { chart: title, x: "defenders", y: unit };
        chart(&folder.join(name), &titles, &lines, bars).expect("a picture");
    };
    let memory = vec![("at its peak", points("rss_mb", 1.0))];
    let bar = [Bar { name: "promised up to 2,000: 500 MB", y: 500.0, until: 2_000.0 }];
    write("herd-memory.svg", "The controller's memory", "MB", memory, &bar);
    let times = vec![
        ("all back after a restart", points("back_s", 1.0)),
        ("a rule reached 99 %", points("rule_p99_ms", 1000.0)),
    ];
    let bars = [
        Bar { name: "promised up to 2,000: back in 30 s", y: 30.0, until: 2_000.0 },
        Bar { name: "promised up to 2,000: a rule in 2 s", y: 2.0, until: 2_000.0 },
    ];
    write("herd-times.svg", "A restart, and a rule", "s", times, &bars);
}

/// Where the straight line through points (least squares) is at `x`, but not below the last of them.
fn lead(points: &[(f64, f64)], x: f64) -> (f64, f64) {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
    let slope = points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>()
        / points.iter().map(|p| (p.0 - mx).powi(2)).sum::<f64>();
    (x, (my + slope * (x - mx)).max(points.last().map_or(0.0, |last| last.1)))
}

async fn measure(count: usize) -> serde_json::Value {
    let mut place = Place::new();
    let mut herd = Herd::enrol(&place, count).await;
    herd.connect(&place).await;
    herd.introduce().await;
    place.kill();
    place.start();
    let (back, failed) = herd.connect(&place).await;
    // What comes with their return is over.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (before, time) = (ticks(place.pid()), Duration::from_secs(10));
    let mut durable = herd.load(RECORDS, time).await;
    let cpu = (ticks(place.pid()) - before) / time.as_secs_f64();
    let mut rule = herd.rule(&place).await;
    let rss = peak_mb(place.pid());
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (last, half, most) = (ms(durable.at(1.0)), ms(rule.at(0.5)), ms(rule.at(0.99)));
    let back = back.as_secs_f64();
    println!("{count:>9} {back:>9.1} {failed:>7} {last:>11.0} {half:>12.0} {most:>12.0} {cpu:>7.0} {rss:>7.0}");
    json!({
        "defenders": count, "back_s": back, "failed": failed, "durable_ms": last, "rule_p50_ms": half, "rule_p99_ms": most,
        "cpu_percent": cpu, "rss_mb": rss,
    })
}

/// Processor time so far, in hundredths of a second. proc(5): utime and stime; 100 ticks a second on every Linux.
fn ticks(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after = text.rsplit_once(") ").expect("a name").1;
    after.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("a number")).sum()
}

fn peak_mb(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
