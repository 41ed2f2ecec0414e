//! A majority of disks is lost for good, and a cluster is founded from what is left.

use std::path::Path;
use std::time::Duration;

use quorate::{
    CompactionPolicy, Engine, FileLog, LocalNetwork, NewCluster, Node, NodeId, Options, StoreId, Survivor,
};

use crate::ledger::{Ledger, number};

const OLD: &str = "ledger";
const NEW: &str = "ledger-anew";

/// Some entries are in a snapshot, and some behind it.
fn options() -> Options {
    let compaction = CompactionPolicy { snapshot_every_entries: 20, ..CompactionPolicy::default() };
    Options { compaction, ..Options::default() }
}

fn log(dir: &Path, name: &str) -> FileLog {
    FileLog::open(dir.join(name)).unwrap()
}

/// A member of the old cluster.
fn old<E: Engine>(network: &LocalNetwork, dir: &Path, id: u64) -> Node<Ledger> {
    start::<E>(network, OLD, id, &[1, 2, 3], log(dir, &id.to_string()))
}

fn start<E: Engine>(
    network: &LocalNetwork,
    cluster: &str,
    id: u64,
    members: &[u64],
    log: FileLog,
) -> Node<Ledger> {
    let builder = Node::builder(cluster, id, members.to_vec(), Ledger::default())
        .storage(log)
        .transport(network.transport(id))
        .engine::<E>()
        .options(options());
    let builder = if members.is_empty() { builder.join() } else { builder };
    builder.start().unwrap()
}

/// Three members write these numbers, and all stop. What was answered, in order.
async fn write_and_stop<E: Engine>(dir: &Path, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let network = LocalNetwork::new();
    let nodes = [1, 2, 3].map(|id| old::<E>(&network, dir, id));
    for count in numbers {
        nodes[count as usize % 3].propose(number(count)).await.unwrap();
    }
    let all = nodes[0].read(|ledger| ledger.0.clone()).await.unwrap();
    // Each disk holds what the reads showed; a follower's, moments later.
    for node in &nodes {
        while node.read_at(quorate::ReadLevel::Linearizable, |_| ()).await.is_err() {}
    }
    for node in nodes {
        node.shutdown().await;
    }
    all
}

async fn survivor<E: Engine>(dir: &Path, id: u64) -> Survivor<E, FileLog> {
    Survivor::<E, _>::open(OLD, id, log(dir, &id.to_string())).await.unwrap()
}

/// Folders `new-1` and so on, from member 1's.
async fn found<E: Engine>(dir: &Path, members: &[u64]) {
    let survivor = survivor::<E>(dir, 1).await;
    let members: Vec<NodeId> = members.iter().copied().map(NodeId).collect();
    for node in &members {
        let new = NewCluster { name: NEW.to_owned(), members: members.clone() };
        let to = (*node, log(dir, &format!("new-{node}")));
        survivor.unsafely_found(&new, to, survivor.store(), Ledger::default()).await.unwrap();
    }
}

pub(crate) async fn a_cluster_founded_from_a_survivor_holds_all_that_it_held<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let written = write_and_stop::<E>(dir.path(), 0..50).await;
    assert_eq!(written, (0..50).collect::<Vec<_>>());
    found::<E>(dir.path(), &[1, 2, 3]).await;
    let network = LocalNetwork::new();
    let again = |network: &LocalNetwork| {
        [1, 2, 3].map(|id| start::<E>(network, NEW, id, &[1, 2, 3], log(dir.path(), &format!("new-{id}"))))
    };
    let nodes = again(&network);
    for (node, count) in nodes.iter().zip(50..) {
        node.propose(number(count)).await.unwrap();
    }
    all_hold_and_stop(nodes, 53).await;
    all_hold_and_stop(again(&network), 53).await;
    assert_eq!(survivor::<E>(dir.path(), 1).await.membership().voters().len(), 3, "the old log is as it was");
}

async fn all_hold_and_stop(nodes: [Node<Ledger>; 3], upto: u64) {
    for node in &nodes {
        assert_eq!(node.read(|ledger| ledger.0.clone()).await, Ok((0..upto).collect()));
    }
    for node in nodes {
        node.shutdown().await;
    }
}

pub(crate) async fn a_survivor_grows_back_to_three_and_refuses_who_comes_back<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    write_and_stop::<E>(dir.path(), 0..30).await;
    found::<E>(dir.path(), &[1]).await;
    let network = LocalNetwork::new();
    let one = start::<E>(&network, NEW, 1, &[1], log(dir.path(), "new-1"));
    assert_eq!(one.propose(number(30)).await, Ok(31));
    let mut joined = Vec::new();
    for id in [4, 5] {
        let joining = start::<E>(&network, NEW, id, &[], log(dir.path(), &format!("new-{id}")));
        one.add_learner(id, "").await.unwrap();
        one.promote(id).await.unwrap();
        assert_eq!(joining.read(|ledger| ledger.0.len()).await, Ok(31));
        joined.push(joining);
    }
    assert_eq!(one.members().await.unwrap().voters(), [1, 4, 5].map(NodeId));
    // Two disks of the old cluster turn up after all, and one of them under a number that the new one has, too.
    let back = [2, 3].map(|id| old::<E>(&network, dir.path(), id));
    // They are a majority of what was: this is what no new name prevents.
    while back[0].propose(number(1000)).await.is_err() {}
    for count in 31..40 {
        one.propose(number(count)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(one.members().await.unwrap().voters(), [1, 4, 5].map(NodeId), "nobody disturbs it");
    let refused = |node: &Node<Ledger>| {
        node.status().notes.iter().any(|note| note.contains("of cluster") && note.contains(NEW))
    };
    while !back.iter().any(refused) {
        tokio::time::sleep(Duration::from_millis(20)).await; // the status follows a moment later
    }
    assert_eq!(one.read(|ledger| ledger.0.clone()).await, Ok((0..40).collect()));
    one.shutdown().await;
}

pub(crate) async fn the_survivor_that_lacks_less_is_found<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    write_and_stop::<E>(dir.path(), 0..30).await;
    {
        // Member 3 misses the rest.
        let network = LocalNetwork::new();
        let nodes = [1, 2].map(|id| old::<E>(&network, dir.path(), id));
        for count in 30..60 {
            nodes[0].propose(number(count)).await.unwrap();
        }
        for node in nodes {
            node.shutdown().await;
        }
    }
    let (first, third) = (survivor::<E>(dir.path(), 1).await, survivor::<E>(dir.path(), 3).await);
    assert!(first.compare(&third).is_gt() && third.compare(&first).is_lt());
    assert!(first.last() > third.last());
    let said = third.to_string();
    let store = third.store().to_string();
    for expected in ["node 3 of cluster ledger", &store, "is lost, and nobody can", "must never run again"] {
        assert!(said.contains(expected), "{said}");
    }
    // It acts only for whoever accepts the loss by name.
    let new = NewCluster { name: NEW.to_owned(), members: vec![NodeId(3)] };
    let to = || (NodeId(3), log(dir.path(), "new-3"));
    let told = |error: Result<Ledger, quorate::StartError>| error.err().unwrap().to_string();
    for not_its in [StoreId::default(), first.store()] {
        let refused = told(third.unsafely_found(&new, to(), not_its, Ledger::default()).await);
        assert!(refused.contains("not accepted for its disk") && refused.contains(&store), "{refused}");
    }
    let same = NewCluster { name: OLD.to_owned(), ..new.clone() };
    let refused = told(third.unsafely_found(&same, to(), third.store(), Ledger::default()).await);
    assert!(refused.contains("needs another name"), "{refused}");
    let stranger = NewCluster { members: vec![NodeId(1)], ..new.clone() };
    let refused = told(third.unsafely_found(&stranger, to(), third.store(), Ledger::default()).await);
    assert!(refused.contains("not among the members"), "{refused}");
    assert!(!dir.path().join("new-3/IDENTITY").exists(), "nothing was begun");
    let ledger = third.unsafely_found(&new, to(), third.store(), Ledger::default()).await.unwrap();
    assert!(ledger.0.starts_with(&(0..30).collect::<Vec<_>>()), "{:?}", ledger.0);
    let refused = told(third.unsafely_found(&new, to(), third.store(), Ledger::default()).await);
    assert!(refused.contains("not empty"), "{refused}");
}
