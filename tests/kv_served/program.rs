//! The program under test: `examples/kv`, built from the sources as they are now.

use std::env::current_exe;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use crate::engines::same_features;

/// The program.
pub(crate) fn kv() -> Command {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(built);
    Command::new(&*PROGRAM)
}

/// `cargo test` builds the examples along with the tests, unless it was told to build one test only.
fn built() -> PathBuf {
    let this_test = current_exe().expect("a running program has a path");
    let profile = this_test.ancestors().nth(2).expect("a test lies in the folder `deps` of its profile");
    let program = profile.join("examples").join("kv");
    let built = fs::metadata(&program).and_then(|metadata| metadata.modified());
    // One that was built without TLS, or with other engines, would be no good, and cargo knows.
    if !cfg!(feature = "tls")
        && built.is_ok_and(|built| built >= newest_source(Path::new(env!("CARGO_MANIFEST_DIR"))))
        && has_our_engines(&program)
    {
        return program;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "kv"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // With the features that this test was built with, and so on the same engine.
    cargo.args(same_features());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "examples/kv does not build");
    program
}

/// Whether the engines that a program offers are those that this test was built with.
fn has_our_engines(program: &Path) -> bool {
    let ours = same_features().into_iter().filter(|word| ["raft", "multi-paxos", "paxos"].contains(word));
    let offered = format!("[possible values: {}]", ours.collect::<Vec<_>>().join(", "));
    let help = Command::new(program).args(["node", "--help"]).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(&offered))
}

/// When a source that the program is made of was last changed.
fn newest_source(workspace: &Path) -> SystemTime {
    let parts = [
        "examples/kv",
        "src",
        "client/src",
        "consensus-api/src",
        "node/src",
        "paxos/src",
        "raft/src",
        "storage-file/src",
        "transport-tcp/src",
    ];
    parts.iter().map(|part| newest_in(&workspace.join(part))).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn newest_in(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).expect("a folder of sources can be read").flatten();
    let changed = entries.map(|entry| {
        let metadata = entry.metadata().expect("a source has metadata");
        if metadata.is_dir() { newest_in(&entry.path()) } else { metadata.modified().expect("and a time") }
    });
    changed.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
