//! The counters of `examples/` count to 42.

use std::path::Path;
use std::process::Command;

fn last_line(example: &str) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", example]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.env("CARGO_TARGET_DIR", target).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn in_one_process() {
    assert_eq!(last_line("counter"), "c reads 42");
}

#[test]
fn over_tcp_in_files_and_after_a_restart() {
    assert_eq!(last_line("counter_tcp"), "after a restart node 3 reads 42");
}

#[test]
fn on_a_storage_of_ones_own() {
    assert_eq!(last_line("custom_storage"), "42");
}
