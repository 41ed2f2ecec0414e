//! Disks that are full: requests are refused as not done, nothing stops, and service resumes by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate::{Engine, Error, FileLog, FileLogOptions, LocalNetwork, Node, Options};
use storage_file::disk::RealFolder;
use storage_file::faulty::FaultPlan;

use crate::ledger::{Ledger, member, number};

/// A log in files on a disk whose room the plan decides.
fn log_on(plan: &FaultPlan, dir: &Path) -> FileLog {
    let folder = Arc::new(RealFolder::open(dir).unwrap());
    let options = FileLogOptions { segment_bytes: 64 << 10, ..FileLogOptions::default() };
    FileLog::open_in(plan.over(folder), options).unwrap()
}

async fn until_room(node: &Node<Ledger>, value: u64) {
    loop {
        match node.propose(number(value)).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error, Error::StorageFull),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Proposes large commands until the disk is full. Returns how many were answered.
async fn fill(node: &Node<Ledger>) -> u64 {
    for count in 0..10_000 {
        match node.propose((count, vec![7; 4000])).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, Error::StorageFull, "a full disk is told before anything is lost");
                return count;
            }
        }
    }
    panic!("the disk is never full");
}

pub(crate) async fn a_full_disk_refuses_requests_and_takes_them_again_once_there_is_room<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let plan = FaultPlan::default();
    let start = || {
        Node::builder("ledger", 1, [1], Ledger::default())
            .storage(log_on(&plan, dir.path()))
            .transport(LocalNetwork::new().transport(1))
            .engine::<E>()
            .start()
            .unwrap()
    };
    let node = start();
    node.propose(number(0)).await.unwrap();
    plan.set_room(Some(1 << 20));
    let answered = fill(&node).await;
    assert!(answered > 100, "{answered}");
    assert_eq!(node.read(|ledger| ledger.0.len()).await.unwrap() as u64, answered + 1, "reads go on");
    plan.set_room(None);
    until_room(&node, 1_000_000).await;
    let written = node.read(|ledger| ledger.0.clone()).await.unwrap();
    node.shutdown().await;
    let node = start();
    assert_eq!(node.read(|ledger| ledger.0.clone()).await.unwrap(), written);
    node.shutdown().await;
}

pub(crate) async fn a_full_disk_of_one_member_leaves_the_others_at_work<E: Engine>() {
    let dir = tempfile::tempdir().unwrap();
    let (plan, network, options) = (FaultPlan::default(), LocalNetwork::new(), Options::default());
    let nodes = [1, 2, 3].map(|id| {
        let plan = if id == 1 { plan.clone() } else { FaultPlan::default() };
        member::<E, _>(&network, id, log_on(&plan, &dir.path().join(id.to_string())), &options)
    });
    let leader = nodes[0].leader().await.unwrap().0;
    // A leader that is full gives way if its engine can; here it is about the others.
    if leader == 1 {
        return;
    }
    plan.set_room(Some(1 << 20));
    let other = &nodes[leader as usize - 1];
    for count in 0..1000 {
        other.propose((count, vec![7; 4000])).await.unwrap();
    }
    let refused = nodes[0].propose(number(1)).await;
    assert_eq!(refused, Err(Error::StorageFull));
    plan.set_room(None);
    until_room(&nodes[0], 2).await;
    assert_eq!(nodes[0].read(|ledger| ledger.0.len()).await, Ok(1001));
    for node in nodes {
        node.shutdown().await;
    }
}
