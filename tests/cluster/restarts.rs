//! Nodes over TCP with files that stop and come back.

use std::time::Duration;

use quorate::{
    CompactionPolicy, Engine, Error, FileLog, Index, LocalNetwork, LogStorage, Node, Options, StartError,
};

use crate::ledger::{Ledger, OnDisk, number};

pub(crate) async fn a_restarted_cluster_holds_all_that_was_acknowledged<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = OnDisk::start::<E>(dir.path(), &Options::default()).await;
    for round in 0..3 {
        for id in 1..=3 {
            cluster.node(id).propose(number(round * 3 + id)).await.unwrap();
        }
        cluster.stop_all().await;
        for id in 1..=3 {
            cluster.restart::<E>(dir.path(), id, &Options::default()).await;
        }
        for id in 1..=3 {
            let all: Vec<u64> = (1..=round * 3 + 3).collect();
            assert_eq!(cluster.node(id).read(|ledger| ledger.0.clone()).await, Ok(all));
        }
    }
}

pub(crate) async fn a_node_that_was_away_catches_up<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = OnDisk::start::<E>(dir.path(), &Options::default()).await;
    cluster.node(1).propose(number(1)).await.unwrap();
    let (leader, away) = cluster.leader_and_follower().await;
    cluster.stop(away).await;
    for count in 2..=300 {
        cluster.node(leader).propose((count, vec![7; 5000])).await.unwrap();
    }
    cluster.restart::<E>(dir.path(), away, &Options::default()).await;
    assert_eq!(cluster.node(away).read(|ledger| ledger.0.len()).await, Ok(300));
    assert_eq!(cluster.node(away).status().snapshot.0, 0, "a short absence needs no snapshot");
}

/// Snapshots after every 50 entries, and hardly any log behind them.
fn eager() -> Options {
    let compaction =
        CompactionPolicy { snapshot_every_entries: 50, keep_bytes: 1000, ..CompactionPolicy::default() };
    Options { compaction, ..Options::default() }
}

pub(crate) async fn a_node_that_was_away_too_long_gets_a_snapshot<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = OnDisk::start::<E>(dir.path(), &eager()).await;
    cluster.node(1).propose(number(0)).await.unwrap();
    let (leader, away) = cluster.leader_and_follower().await;
    cluster.stop(away).await;
    for count in 1..=400 {
        cluster.node(leader).propose((count, vec![7; 3000])).await.unwrap();
    }
    let covered = |id| cluster.node(id).status().snapshot.0;
    while (1..=3).filter(|id| *id != away).any(|id| covered(id) < 300) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.restart::<E>(dir.path(), away, &eager()).await;
    assert_eq!(cluster.node(away).read(|ledger| ledger.0.len()).await, Ok(401));
    while cluster.node(away).status().snapshot.0 < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await; // the status follows a moment later
    }
    cluster.node(away).propose(number(401)).await.unwrap();
    // What came as a snapshot is there after a restart too.
    cluster.stop_all().await;
    for id in 1..=3 {
        cluster.restart::<E>(dir.path(), id, &eager()).await;
    }
    let all: Vec<u64> = (0..=401).collect();
    assert_eq!(cluster.node(away).read(|ledger| ledger.0.clone()).await, Ok(all));
}

pub(crate) async fn the_log_is_trimmed_behind_snapshots<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = OnDisk::start::<E>(dir.path(), &eager()).await;
    for count in 0..400 {
        cluster.node(1).propose((count, vec![7; 1000])).await.unwrap();
    }
    while cluster.node(1).status().snapshot.0 < 300 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.stop_all().await;
    // What a new start has to read is what came after the last snapshots, not the whole history.
    let mut log = FileLog::open(dir.path().join("1")).unwrap();
    let recovered = log.attach(&identity::<E>(1)).unwrap();
    assert!(recovered.outline.compacted.0 >= 150, "compacted up to {}", recovered.outline.compacted);
    let snapshots = std::fs::read_dir(dir.path().join("1/snapshots")).unwrap().count();
    assert!(snapshots <= 2, "{snapshots} snapshot files are left");
}

pub(crate) async fn a_snapshot_is_taken_when_it_is_asked_for<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let compaction = CompactionPolicy { snapshot_every_bytes: 0, ..CompactionPolicy::default() };
    let never = Options { compaction, ..Options::default() };
    let mut cluster = OnDisk::start::<E>(dir.path(), &never).await;
    for count in 0..20 {
        cluster.node(count % 3 + 1).propose(number(count)).await.unwrap();
    }
    let (written, _) = cluster.node(1).propose_indexed(number(20)).await.unwrap();
    let node = cluster.node(2).clone();
    node.read(|_| ()).await.unwrap();
    let upto = node.take_snapshot().await.unwrap();
    assert!(upto >= written, "it ends at {upto}, before {written}");
    cluster.node(3).propose(number(21)).await.unwrap();
    node.read(|_| ()).await.unwrap();
    let newest = node.take_snapshot().await.unwrap();
    assert!(newest > upto);
    cluster.stop_all().await;
    assert!(matches!(node.take_snapshot().await, Err(Error::Stopped { .. })));
    drop(node);
    let snapshot = |id: u64| {
        let mut log = FileLog::open(dir.path().join(id.to_string())).unwrap();
        log.attach(&identity::<E>(id)).unwrap().outline.snapshot.unwrap_or_default().index
    };
    assert_eq!([1, 2, 3].map(snapshot), [Index::ZERO, newest, Index::ZERO], "its own, and nobody else's");
    for id in 1..=3 {
        cluster.restart::<E>(dir.path(), id, &never).await;
    }
    let all: Vec<u64> = (0..=21).collect();
    assert_eq!(cluster.node(2).read(|ledger| ledger.0.clone()).await, Ok(all));
}

fn identity<E: Engine>(node: u64) -> quorate::Identity {
    quorate::Identity {
        cluster: quorate::ClusterName::new("ledger").unwrap(),
        node: node.into(),
        engine: E::NAME,
        store: quorate::StoreId::default(),
        incarnation: quorate::Incarnation::default(),
    }
}

pub(crate) async fn other_members_than_the_log_says_are_reported<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let start = |members: &[u64]| {
        Node::builder("ledger", 1, members.iter().copied(), Ledger::default())
            .storage(FileLog::open(dir.path().join("1")).unwrap())
            .transport(LocalNetwork::new().transport(1))
            .engine::<E>()
            .start()
            .unwrap()
    };
    let node = start(&[1]);
    node.propose(number(1)).await.unwrap();
    node.shutdown().await;
    let node: Node<Ledger> = start(&[1, 2, 3]);
    assert_eq!(node.propose(number(2)).await, Ok(2), "what the log says counts");
    let notes = node.status().notes;
    assert!(notes.iter().any(|note| note.contains("differ from those in the log (1)")), "{notes:?}");
    node.shutdown().await;
}

pub(crate) async fn another_nodes_log_is_refused<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let start = |cluster: &str, id: u64| {
        Node::builder(cluster, id, [1, 2, 3], Ledger::default())
            .storage(FileLog::open(dir.path())?)
            .transport(LocalNetwork::new().transport(id))
            .engine::<E>()
            .start()
    };
    let node = start("ledger", 1).unwrap();
    let second = start("ledger", 1).unwrap_err();
    assert!(second.to_string().contains("in use by another process"), "{second}");
    node.shutdown().await;
    for (cluster, id, field) in [("ledger", 2, "node"), ("other", 1, "cluster")] {
        let refused = start(cluster, id).unwrap_err();
        assert!(
            matches!(&refused, StartError::Storage(error) if error.to_string().contains(field)),
            "{refused}"
        );
    }
    start("ledger", 1).unwrap().shutdown().await;
}
