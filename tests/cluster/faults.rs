//! State machines and disks that misbehave.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::{
    Batch, Engine, Entry, Error, Identity, Index, LocalNetwork, Node, Op, Options, Outline, Recovered, Role,
    Simple, SimpleLog, StorageError,
};

use crate::ledger::{FATAL, Ledger, SLOW, in_memory, leader, member, number};

pub(crate) async fn a_slow_state_machine_causes_no_election<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let leader = leader(&nodes).await;
    let before = leader.status().generation;
    leader.propose(number(SLOW)).await.unwrap();
    leader.propose(number(1)).await.unwrap();
    for node in &nodes {
        assert_eq!(node.status().generation, before);
    }
}

pub(crate) async fn a_panicking_state_machine_stops_its_node_with_the_cause<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let leader = leader(&nodes).await;
    let answer = leader.propose(number(FATAL)).await;
    assert!(matches!(answer, Err(Error::OutcomeUnknown { .. })), "{answer:?}");
    let mut status = leader.watch();
    let stopped = status.wait_for(|status| status.stopped.is_some()).await.unwrap().stopped.clone().unwrap();
    assert!(stopped.contains("the state machine panicked"), "{stopped}");
    let after = leader.propose(number(1)).await.unwrap_err();
    assert!(after.to_string().contains("the state machine panicked"), "{after}");
}

pub(crate) async fn a_panicking_read_fails_alone<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    nodes[0].propose(number(1)).await.unwrap();
    let answer = nodes[0].read(|ledger| assert!(ledger.0.is_empty(), "on purpose")).await;
    assert!(matches!(answer, Err(Error::Refused { .. })), "{answer:?}");
    assert_eq!(nodes[0].propose(number(2)).await, Ok(2), "the node goes on");
}

/// A log in memory whose writes fail or hang when told to.
#[derive(Clone, Default)]
struct Fickle {
    log: Arc<Mutex<(Outline, BTreeMap<Index, Entry>)>>,
    mood: Arc<AtomicU8>,
}

const FAIL: u8 = 1;
const HANG: u8 = 2;

#[async_trait::async_trait]
impl SimpleLog for Fickle {
    fn open(&mut self, _: &Identity) -> Result<Recovered, StorageError> {
        Ok(Recovered { outline: self.log.lock().unwrap().0.clone(), ..Recovered::default() })
    }

    async fn write(&self, batch: Batch) -> Result<(), StorageError> {
        match self.mood.load(Ordering::SeqCst) {
            FAIL => {
                let source = Arc::new(std::io::Error::other("the disk is broken"));
                Err(StorageError::Io { what: "cannot write to", path: PathBuf::from("log"), source })
            }
            HANG => std::future::pending().await,
            _ => {
                let mut log = self.log.lock().unwrap();
                for op in batch.into_ops() {
                    log.0.replay(&op);
                    match op {
                        Op::Put(entry) => drop(log.1.insert(entry.index, entry)),
                        Op::TruncateFrom(from) => drop(log.1.split_off(&from)),
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    async fn read(&self, range: Range<Index>, _: usize) -> Result<Vec<Entry>, StorageError> {
        Ok(self.log.lock().unwrap().1.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

fn fickle<E: Engine>() -> (Vec<Node<Ledger>>, Vec<Fickle>) {
    let network = LocalNetwork::new();
    let logs = [(); 3].map(|()| Fickle::default()).to_vec();
    let start = |(id, log): (u64, &Fickle)| {
        member::<E, _>(&network, id, Simple::new(log.clone()), &Options::default())
    };
    ((1..).zip(&logs).map(start).collect(), logs)
}

pub(crate) async fn a_failed_write_stops_the_node_and_the_others_go_on<E: Engine>() {
    let (nodes, logs) = fickle::<E>();
    let first = leader(&nodes).await;
    let at = nodes.iter().position(|node| node.id() == first.id()).unwrap();
    logs[at].mood.store(FAIL, Ordering::SeqCst);
    let _ = first.propose(number(1)).await;
    let mut status = first.watch();
    let stopped = status.wait_for(|status| status.stopped.is_some()).await.unwrap().stopped.clone().unwrap();
    assert!(stopped.contains("the disk is broken"), "{stopped}");
    let other = &nodes[(at + 1) % 3];
    // What was handed to the old leader may end unknown; what comes after is taken.
    while other.propose(number(2)).await.is_err() {}
    assert!(other.read(|ledger| ledger.0.contains(&2)).await.unwrap());
}

pub(crate) async fn a_leader_whose_disk_hangs_gives_way<E: Engine>() {
    let (nodes, logs) = fickle::<E>();
    let first = leader(&nodes).await;
    let at = nodes.iter().position(|node| node.id() == first.id()).unwrap();
    logs[at].mood.store(HANG, Ordering::SeqCst);
    // Two healthy disks are a quorum: the write stands, though the leader's own disk never answers.
    drop(first.propose(number(1)));
    let mut status = first.watch();
    status.wait_for(|status| status.role != Role::Leader).await.unwrap();
    let other = &nodes[(at + 1) % 3];
    while other.propose(number(2)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(other.read(|ledger| ledger.0.contains(&1)).await.unwrap());
}
