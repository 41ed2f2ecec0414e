//! `quorate-log`, as it is run.

use std::path::Path;
use std::process::{Command, Output};

use consensus_api::LogStorage;
use quorate_storage_file::FileLog;
use serde_json::Value;

use crate::writer::{OPTIONS, entries_in, identity, listen, start};

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate-log")).args(arguments).arg(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Verifies a log that is sound, and returns what is said.
pub(crate) fn verify(folder: &Path) -> String {
    let output = run(&["verify"], folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn written() -> (tempfile::TempDir, u64) {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut output) = start(folder.path(), None);
    listen(&mut output, 200);
    child.kill().unwrap();
    child.wait().unwrap();
    let count = entries_in(folder.path());
    (folder, count)
}

#[test]
fn a_sound_log_is_verified_shown_and_exported() {
    let (folder, count) = written();
    let said: Value = serde_json::from_slice(&run(&["verify", "--json"], folder.path()).stdout).unwrap();
    assert_eq!((said["clean"].as_bool(), said["entries"].as_u64()), (Some(true), Some(count)));
    let exported = text(&run(&["export"], folder.path()).stdout);
    let indices =
        exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["index"].as_u64().unwrap());
    assert!(indices.eq(1..=count));
    let shown = text(&run(&["inspect"], folder.path()).stdout);
    assert!(shown.starts_with("segment ") && shown.lines().count() >= 2, "{shown}");
    let all = text(&run(&["inspect", "--records", "--json"], folder.path()).stdout);
    let puts =
        all.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["record"] == "put").count();
    assert_eq!(puts as u64, count);
    let in_words = text(&run(&["inspect", "--records"], folder.path()).stdout);
    assert!(in_words.contains("    put 1 1 commands") && in_words.contains("    hard state"), "{in_words}");
}

#[test]
fn a_damaged_log_is_refused_with_1_and_what_cannot_be_looked_at_with_2() {
    let (folder, _) = written();
    let path = folder.path().join("0000000000000002.wal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = run(&["verify"], folder.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("0000000000000002.wal is damaged at byte"));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(run(&["verify"], empty.path()).status.code(), Some(2));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing is created");
    let (folder, _) = written();
    let mut log = FileLog::open_with(folder.path(), OPTIONS()).unwrap();
    log.attach(&identity()).unwrap();
    let locked = run(&["inspect"], folder.path());
    assert_eq!(locked.status.code(), Some(2));
    assert!(text(&locked.stderr).contains("in use by another process"));
}
