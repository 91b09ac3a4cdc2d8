//! What a controller takes for many defenders: `cargo bench -p cnnf-controller --bench herd -- 250 500 1000 2000`.
//!
//! Real processes, real TLS and gRPC; the defenders live in this process. Bars, for 2,000: back within 30 s of a restart without an
//! error, 20,000 flow records a second into SQLite, at most 500 MB, a rule at every host within 2 s (p99).
#![allow(dead_code, missing_docs, reason = "the tests' own modules, of which this uses a part")]

#[path = "../tests/controller/herd.rs"]
mod herd;
#[path = "../tests/controller/place.rs"]
mod place;

use std::time::Duration;

use herd::Herd;
use place::Place;
use serde_json::json;

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
