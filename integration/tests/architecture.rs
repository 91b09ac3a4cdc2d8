//! Who may depend on whom. A new arrow needs a reason here before it can be drawn.

use std::collections::BTreeMap;
use std::process::Command;

/// What may not depend on what, and why.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("cnnf-controller", "cnnf-host", "the controller runs anywhere and touches no host"),
    ("cnnf-controller", "cnnf-netlink", "the controller runs anywhere and touches no host"),
    ("cnnf-store", "cnnf-rpc", "what is stored outlives the wire"),
    ("cnnf-host", "cnnf-rpc", "a host is observed and programmed in the core's words"),
    ("cnnf-host", "tokio", "the host crate offers file descriptors; who waits for them is the binary's business"),
    ("cnnf-core", "tokio", "the core is pure"),
    ("cnnf-core", "tonic", "the core is pure"),
    ("cnnf-core", "prost", "the core knows no wire"),
    ("cnnf-core", "rusqlite", "the core knows no store"),
    ("cnnf-core", "rustix", "the core does no IO"),
    ("cnnf-core", "nix", "the core does no IO"),
    ("cnnf-core", "libc", "the core does no IO"),
    ("cnnf-core", "tracing", "the core returns reasons instead of logging"),
    ("cnnf-core", "rand", "randomness is an argument"),
    ("cnnfctl", "cnnf-host", "cnnfctl speaks to the controller only"),
    ("cnnfctl", "cnnf-store", "cnnfctl speaks to the controller only"),
    ("cnnf-defender", "cnnf-store", "a host keeps files, no database"),
];

/// Which crates of the workspace each may name.
const ALLOWED: &[(&str, &[&str])] = &[
    ("cnnf-core", &[]),
    ("cnnf-netlink", &[]),
    ("cnnf-rpc", &["cnnf-core"]),
    ("cnnf-store", &["cnnf-core"]),
    ("cnnf-host", &["cnnf-core", "cnnf-netlink"]),
    ("cnnf-defender", &["cnnf-core", "cnnf-rpc", "cnnf-host"]),
    ("cnnf-controller", &["cnnf-core", "cnnf-rpc", "cnnf-store"]),
    ("cnnfctl", &["cnnf-core", "cnnf-rpc"]),
];

/// Normal dependencies of each workspace crate.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies");
            let normal = all.iter().filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect();
            (text(&package["name"]), normal)
        })
        .collect()
}

#[test]
fn arrows_only_point_down() {
    let graph = dependencies();
    assert!(graph.len() >= ALLOWED.len(), "the workspace was not read: {:?}", graph.keys());
    for (from, to, why) in FORBIDDEN {
        let names = graph.get(*from).unwrap_or_else(|| panic!("{from} is no crate of this workspace"));
        assert!(!names.iter().any(|name| name == to), "{from} must not depend on {to}: {why}");
    }
}

#[test]
fn crates_name_only_those_below_them() {
    for (from, names) in dependencies() {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == from) else {
            assert_eq!(from, "cnnf-lab", "{from} has no line in ALLOWED: say what it may depend on");
            continue;
        };
        for name in names.iter().filter(|name| name.starts_with("cnnf")) {
            assert!(allowed.contains(&name.as_str()), "{from} must not depend on {name}");
        }
    }
}
