//! The counters of `examples/` count, most of them to 42, on the engine of the features this test was built with.

#![cfg(feature = "__engine")]

mod engines;

use std::path::Path;
use std::process::Command;

use engines::same_features;
use quorate::{DefaultEngine, Engine};

/// Runs an example: what it prints.
fn printed(example: &str) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", example]).args(same_features());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.env("CARGO_TARGET_DIR", target).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs an example that says which engine it is on, and asserts that it is this test's: its last line.
fn last_line(example: &str) -> String {
    let printed = printed(example);
    let engine = format!("engine {}", DefaultEngine::NAME);
    println!("{engine}");
    assert_eq!(printed.lines().next(), Some(engine.as_str()));
    printed.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn in_one_process() {
    assert_eq!(last_line("counter"), "c reads 42");
}

#[cfg(all(feature = "tcp", feature = "file"))]
#[test]
fn over_tcp_in_files_and_after_a_restart() {
    assert_eq!(last_line("counter_tcp"), "after a restart node 3 reads 42");
}

#[test]
fn on_a_storage_of_ones_own() {
    assert_eq!(last_line("custom_storage"), "42");
}

#[cfg(all(feature = "paxos", feature = "tcp", feature = "file"))]
#[test]
fn in_registers_without_a_log() {
    assert_eq!(printed("registers").lines().last(), Some("and then 31"));
}
