//! What `kill -9` under load leaves on disk, as `quorate-log verify` sees it.

use std::env::current_exe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use crate::processes::{Cluster, MEMBERS, command};

/// The tool for looking at logs, built from the sources as they are now.
fn tool() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "quorate-storage-file", "--features", "tool"]);
    cargo.args(["--bin", "quorate-log"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "quorate-log does not build");
    let this_test = current_exe().expect("a running program has a path");
    this_test.ancestors().nth(2).expect("a test lies in the folder `deps` of its profile").join("quorate-log")
}

fn assert_clean(tool: &Path, folder: &Path) {
    let output = Command::new(tool).arg("verify").arg(folder).output().expect("quorate-log runs");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {errors}", folder.display());
    assert!(said.starts_with("clean: store "), "{said}");
    println!("{said}");
}

#[test]
fn kill_9_under_load_leaves_folders_that_quorate_log_calls_clean() {
    let tool = tool();
    let mut cluster = Cluster::start();
    for round in 0..3 {
        let written = AtomicU64::new(0);
        let connections = MEMBERS.map(|id| cluster.connect(id).expect("all members serve"));
        scope(|threads| {
            for (id, mut connection) in MEMBERS.into_iter().zip(connections) {
                let written = &written;
                threads.spawn(move || {
                    for number in 0.. {
                        let key = format!("{round}-{id}-{number}");
                        let value = "v".repeat(1 + number % 3000);
                        if command(&["SET", &key, &value]).query::<String>(&mut connection).is_err() {
                            return;
                        }
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while written.load(Ordering::Relaxed) < 300 {
                sleep(Duration::from_millis(10));
            }
            cluster.kill_all();
        });
        MEMBERS.into_iter().for_each(|id| assert_clean(&tool, &cluster.data(id)));
        MEMBERS.into_iter().for_each(|id| cluster.start_member(id));
        cluster.leader();
    }
}
