//! Which crate may lean on which. The parts meet through the traits of `consensus-api`, never each other.

use serde_json::Value;

use crate::assert_none;
use crate::tree::{Source, files, packages};

/// A package, what of ours it may use, and what of ours its tests may use besides.
const ARROWS: [(&str, &[&str], &[&str]); 10] = [
    ("quorate-consensus-api", &[], &["quorate-testkit"]),
    ("quorate-raft", &["quorate-consensus-api"], &["quorate-testkit"]),
    ("quorate-paxos", &["quorate-consensus-api"], &["quorate-testkit"]),
    ("quorate-registers", &["quorate-consensus-api", "quorate-paxos"], &[]),
    ("quorate-transport-tcp", &["quorate-consensus-api"], &["quorate-testkit"]),
    ("quorate-storage-file", &["quorate-consensus-api"], &["quorate-testkit"]),
    ("quorate-node", &["quorate-consensus-api"], &["quorate-testkit"]),
    ("quorate-client", &["quorate-consensus-api", "quorate-node"], &["quorate-testkit"]),
    ("quorate-testkit", &["quorate-consensus-api", "quorate-node"], &[]),
    (
        "quorate",
        &[
            "quorate-consensus-api",
            "quorate-raft",
            "quorate-paxos",
            "quorate-registers",
            "quorate-transport-tcp",
            "quorate-storage-file",
            "quorate-node",
            "quorate-client",
        ],
        &["quorate-testkit"],
    ),
];

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

fn arrow_complaints(package: &Value) -> Vec<String> {
    let Some((_, uses, tests_use)) = ARROWS.iter().find(|(of, ..)| *of == name(package)) else {
        return vec![format!("{}: a new crate; say in ARROWS what it may use", name(package))];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let ours = dependencies.filter(|dependency| ARROWS.iter().any(|(of, ..)| *of == name(dependency)));
    let complaint = |dependency: &Value| {
        let in_tests = dependency["kind"] == "dev";
        let may = uses.contains(&name(dependency)) || (in_tests && tests_use.contains(&name(dependency)));
        let by_path = dependency["path"].is_string() && dependency["req"] == "*";
        if !may {
            return Some(format!("{} must not use {}", name(package), name(dependency)));
        }
        (!by_path).then(|| format!("{} must name {} by path only", name(package), name(dependency)))
    };
    ours.filter_map(complaint).collect()
}

/// The testkit stands on these two, so their own `src` would see two copies of their types.
fn testkit_complaint(source: &Source) -> Option<String> {
    let below = source.path.starts_with("consensus-api/src/") || source.path.starts_with("node/src/");
    let names_it = source.code().contains("testkit");
    (below && names_it).then(|| format!("{}: uses the testkit; only tests/ beside src may", source.path))
}

#[test]
fn no_arrow_runs_back_or_sideways() {
    assert_none(packages().iter().flat_map(arrow_complaints));
}

#[test]
fn every_crate_of_the_table_exists() {
    let packages = packages();
    let missing = ARROWS.iter().filter(|(of, ..)| !packages.iter().any(|package| name(package) == *of));
    assert_none(missing.map(|(of, ..)| format!("{of} is in ARROWS but not in the workspace")));
}

#[test]
fn what_the_testkit_stands_on_uses_it_from_its_tests_folder_only() {
    assert_none(files("rs").iter().filter_map(testkit_complaint));
}

#[test]
fn a_wrong_arrow_is_complained_about() {
    let package = |of: &str, on: &str, kind: Option<&str>, req: &str| {
        let dependency = serde_json::json!({ "name": on, "kind": kind, "req": req, "path": "/there" });
        arrow_complaints(&serde_json::json!({ "name": of, "dependencies": [dependency] }))
    };
    let sideways = package("quorate-raft", "quorate-paxos", Some("dev"), "*");
    assert_eq!(sideways, ["quorate-raft must not use quorate-paxos"]);
    let back = package("quorate-consensus-api", "quorate-node", None, "*");
    assert_eq!(back, ["quorate-consensus-api must not use quorate-node"]);
    let not_in_tests = package("quorate-node", "quorate-testkit", None, "*");
    assert_eq!(not_in_tests, ["quorate-node must not use quorate-testkit"]);
    let versioned = package("quorate-raft", "quorate-testkit", Some("dev"), "^1");
    assert_eq!(versioned, ["quorate-raft must name quorate-testkit by path only"]);
    assert_eq!(package("quorate-gossip", "serde", None, "^1").len(), 1);
    assert!(package("quorate-raft", "quorate-testkit", Some("dev"), "*").is_empty());
    assert!(package("quorate-raft", "tokio", None, "^1").is_empty());

    let inside = Source::new("node/src/replica.rs", "use testkit::Cluster;");
    assert!(testkit_complaint(&inside).is_some());
    let beside = Source::new("node/tests/replica.rs", "use testkit::Cluster;");
    assert!(testkit_complaint(&beside).is_none());
}
