//! Real data moves from one engine to another, and back.

use std::path::Path;

use quorate::{DefaultEngine, Engine, FileLog, Index, LocalNetwork, MultiPaxos, Node, Raft, change_engine};

use crate::ledger::{Ledger, number};

fn start<E: Engine>(dir: &Path) -> [Node<Ledger>; 3] {
    let network = LocalNetwork::new();
    [1, 2, 3].map(|id: u64| {
        let node = Node::builder("ledger", id, [1, 2, 3], Ledger::default())
            .storage(FileLog::open(dir.join(id.to_string())).unwrap())
            .transport(network.transport(id))
            .engine::<E>()
            .start()
            .unwrap();
        assert_eq!(node.status().engine, E::NAME);
        node
    })
}

/// Writes these numbers, has node 1 take a snapshot of everything, and stops all. The last entry written.
async fn write_and_stop(nodes: [Node<Ledger>; 3], numbers: std::ops::Range<u64>) -> Index {
    let mut last = Index::ZERO;
    for count in numbers {
        last = nodes[count as usize % 3].propose_indexed(number(count)).await.unwrap().0;
    }
    nodes[0].read(|_| ()).await.unwrap();
    assert!(nodes[0].take_snapshot().await.unwrap() >= last);
    for node in nodes {
        node.shutdown().await;
    }
    last
}

async fn move_all<Old: Engine, New: Engine>(from: &Path, to: &Path) -> Index {
    let mut covered = Index::ZERO;
    for member in 1..=3_u64 {
        let old = FileLog::open(from.join("1")).unwrap();
        let new = FileLog::open(to.join(member.to_string())).unwrap();
        let moved = change_engine::<Old, New>("ledger", (1.into(), old), (member.into(), new)).await;
        covered = moved.unwrap();
    }
    covered
}

async fn holds(nodes: &[Node<Ledger>; 3], upto: u64) {
    let all: Vec<u64> = (0..upto).collect();
    for node in nodes {
        assert_eq!(node.read(|ledger| ledger.0.clone()).await, Ok(all.clone()));
    }
}

#[tokio::test]
async fn a_ledger_moves_from_raft_to_multi_paxos_and_back() {
    let [raft, paxos, again] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let written = write_and_stop(start::<Raft>(raft.path()), 0..40).await;
    let covered = move_all::<Raft, MultiPaxos>(raft.path(), paxos.path()).await;
    assert!(covered >= written);

    let nodes = start::<MultiPaxos>(paxos.path());
    holds(&nodes, 40).await;
    let later = write_and_stop(nodes, 40..80).await;
    assert!(later > covered, "entries go on counting");
    // What is moved is there after a restart too.
    let nodes = start::<MultiPaxos>(paxos.path());
    holds(&nodes, 80).await;
    write_and_stop(nodes, 80..81).await;
    move_all::<MultiPaxos, Raft>(paxos.path(), again.path()).await;

    let nodes = start::<Raft>(again.path());
    holds(&nodes, 81).await;
    write_and_stop(nodes, 81..100).await;
    let nodes = start::<Raft>(again.path());
    holds(&nodes, 100).await;
}

#[tokio::test]
async fn a_log_goes_on_with_its_engine_where_none_is_named() {
    assert_ne!(DefaultEngine::NAME, Raft::NAME, "else this shows nothing");
    let dir = tempfile::tempdir().unwrap();
    write_and_stop(start::<Raft>(dir.path()), 0..10).await;
    let network = LocalNetwork::new();
    let start = |id: u64, folder: &str| {
        Node::builder("ledger", id, [1, 2, 3], Ledger::default())
            .storage(FileLog::open(dir.path().join(folder)).unwrap())
            .transport(network.transport(id))
            .start()
    };
    let nodes = [1, 2, 3].map(|id| start(id, &id.to_string()).unwrap());
    nodes.iter().for_each(|node| assert_eq!(node.status().engine, Raft::NAME));
    holds(&nodes, 10).await;
    let new = start(1, "new").unwrap();
    assert_eq!(new.status().engine, DefaultEngine::NAME, "a new log is the default engine's");
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_in_words() {
    let [raft, paxos] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write_and_stop(start::<Raft>(raft.path()), 0..3).await;
    let log = |dir: &Path| FileLog::open(dir.join("1")).unwrap();
    let said = |error: quorate::StartError| error.to_string();
    let new = (1.into(), log(paxos.path()));
    let wrong = change_engine::<MultiPaxos, Raft>("ledger", (1.into(), log(raft.path())), new).await;
    assert!(said(wrong.unwrap_err()).contains("belongs to engine raft, not multi-paxos"));
    let empty = tempfile::tempdir().unwrap();
    let new = (1.into(), log(paxos.path()));
    let nothing = change_engine::<Raft, MultiPaxos>("ledger", (1.into(), log(empty.path())), new).await;
    assert!(said(nothing.unwrap_err()).contains("no snapshot"));
    for expected in [true, false] {
        let (old, new) = ((1.into(), log(raft.path())), (1.into(), log(paxos.path())));
        let moved = change_engine::<Raft, MultiPaxos>("ledger", old, new).await;
        assert_eq!(moved.is_ok(), expected, "{moved:?}: a log that is not empty is left alone");
    }
}
