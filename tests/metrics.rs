//! Counts reach the facade, and are those that `docs/metrics.md` lists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use quorate::{Applied, DefaultEngine, Engine, StateMachine, local};

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _: Applied, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    quorate::snapshot_with_serde!();
}

/// The names in the first column of the table.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

/// The sum of a counter over all nodes and labels.
fn total(snapshotter: &Snapshotter, name: &str) -> u64 {
    let counted = snapshotter.snapshot().into_vec().into_iter();
    let of_that_name = counted.filter(|(key, ..)| key.key().name() == name);
    of_that_name.map(|(.., value)| if let DebugValue::Counter(count) = value { count } else { 0 }).sum()
}

#[tokio::test]
async fn what_is_counted_is_what_is_documented() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    println!("engine {}", DefaultEngine::NAME);

    let [a, b, c] = local::cluster(Sum::default).unwrap();
    for add in 1..=10 {
        a.propose(add).await.unwrap();
        b.read(|sum| sum.0).await.unwrap();
    }
    let _ = c.propose(0).await.unwrap();

    let snapshot = snapshotter.snapshot().into_vec();
    let names: BTreeSet<String> = snapshot.iter().map(|(key, ..)| key.key().name().to_owned()).collect();
    assert_eq!(names, documented());
    let labels = snapshot.iter().all(|(key, ..)| key.key().labels().any(|label| label.key() == "node"));
    assert!(labels, "each count names its node");
    drop(snapshot);

    a.propose(1).await.unwrap();
    // Taking a snapshot empties counters, so each is asked for once.
    assert!(total(&snapshotter, "quorate_proposals_total") >= 1);
    a.propose(1).await.unwrap();
    assert!(total(&snapshotter, "quorate_writes_total") >= 2, "a majority wrote it");
    a.propose(1).await.unwrap();
    assert!(total(&snapshotter, "quorate_frames_received_total") >= 2, "members spoke to each other");
    b.read(|sum| sum.0).await.unwrap();
    assert!(total(&snapshotter, "quorate_reads_total") >= 1);
}
