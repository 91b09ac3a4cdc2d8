//! What a large policy costs those who bring it: `cargo bench -p cnnf-controller --bench rules -- 1000 10000 100000`. Needs `cnnfctl` built with the same
//! profile: `cargo build --release -p cnnfctl`.
#![allow(dead_code, unused_imports, missing_docs, reason = "the tests' own modules, of which this uses a part")]

#[path = "../tests/controller/herd.rs"]
mod herd;
#[path = "../tests/controller/many.rs"]
mod many;
#[path = "../tests/controller/place/mod.rs"]
mod place;

use serde_json::json;

fn main() {
    let counts: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let counts = if counts.is_empty() { vec![1_000, 10_000, 100_000] } else { counts };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut rows = Vec::new();
    for rules in counts {
        println!("\n{rules} rules, 20 defenders");
        println!("{:<38} {:>9} {:>12} {:>15} {:>11}", "", "s", "cnnfctl MB", "controller MB", "written MB");
        for cost in runtime.block_on(many::many(rules)) {
            let many::Cost { name, time, mb, controller_mb, written_mb } = cost;
            let time = time.as_secs_f64();
            println!("{name:<38} {time:>9.2} {mb:>12.0} {controller_mb:>15.0} {written_mb:>11.1}");
            rows.push(json!({
                "rules": rules, "what": name, "s": time, "cnnfctl_mb": mb, "controller_mb": controller_mb, "written_mb": written_mb,
            }));
        }
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("rules.json"), json!(rows).to_string()).expect("written");
}
