//! Members come and go, while others write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate::{Engine, Error, LocalNetwork, Membership, MemoryLog, Node, NodeId, Options, Role, Status};
use tokio::task::JoinHandle;

use crate::ledger::{Ledger, number};

/// Nodes in memory, by their ids.
struct Members {
    network: LocalNetwork,
    nodes: BTreeMap<u64, Node<Ledger>>,
}

impl Members {
    fn found<E: Engine>(ids: &[u64]) -> Self {
        let mut members = Self { network: LocalNetwork::new(), nodes: BTreeMap::new() };
        ids.iter().for_each(|id| members.start::<E>(*id, ids, false));
        members
    }

    /// A node that waits to be added.
    fn join<E: Engine>(&mut self, id: u64) {
        self.start::<E>(id, &[id], true);
    }

    fn start<E: Engine>(&mut self, id: u64, founders: &[u64], joins: bool) {
        let builder = Node::builder("ledger", id, founders.to_vec(), Ledger::default())
            .storage(MemoryLog::new())
            .transport(self.network.transport(id))
            .engine::<E>();
        let builder = if joins { builder.join() } else { builder };
        self.nodes.insert(id, builder.start().unwrap());
    }

    fn node(&self, id: u64) -> Node<Ledger> {
        self.nodes[&id].clone()
    }

    async fn stop(&mut self, id: u64) {
        if let Some(node) = self.nodes.remove(&id) {
            node.shutdown().await;
        }
    }
}

fn voters(ids: &[u64]) -> Membership {
    Membership::of_voters(ids.iter().copied().map(NodeId)).unwrap()
}

/// Writes numbers, one after the other, on whichever nodes it is given.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: JoinHandle<(Vec<u64>, Duration)>,
    nodes: Nodes,
}

/// The nodes that are written on; others may take their place.
type Nodes = Arc<Mutex<Vec<Node<Ledger>>>>;

impl Load {
    fn on(nodes: Vec<Node<Ledger>>) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts, nodes) = (stop.clone(), written.clone(), Arc::new(Mutex::new(nodes)));
        let writers = nodes.clone();
        let task = tokio::spawn(async move {
            let (mut acknowledged, mut longest, mut last) =
                (Vec::new(), Duration::ZERO, tokio::time::Instant::now());
            for count in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let node = {
                    let nodes = writers.lock().unwrap();
                    nodes[count as usize % nodes.len()].clone()
                };
                match node.propose(number(count)).await {
                    Ok(_) => {
                        acknowledged.push(count);
                        counts.fetch_add(1, Ordering::Relaxed);
                        longest = longest.max(last.elapsed());
                        last = tokio::time::Instant::now();
                    }
                    Err(Error::Stopped { .. } | Error::OutcomeUnknown { .. }) => {}
                    Err(error) => println!("write {count}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (acknowledged, longest)
        });
        Self { stop, written, task, nodes }
    }

    /// From now on these are written on.
    fn move_to(&self, nodes: Vec<Node<Ledger>>) {
        *self.nodes.lock().unwrap() = nodes;
    }

    /// Waits until something more was written.
    async fn goes_on(&self) {
        let before = self.written.load(Ordering::Relaxed);
        while self.written.load(Ordering::Relaxed) < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) -> (Vec<u64>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Every number that was acknowledged is there once.
async fn holds_all(node: &Node<Ledger>, acknowledged: &[u64]) {
    let ledger = node.read(|ledger| ledger.0.clone()).await.unwrap();
    let mut counts = BTreeMap::<u64, usize>::new();
    ledger.iter().for_each(|number| *counts.entry(*number).or_default() += 1);
    for number in acknowledged {
        assert_eq!(counts.get(number), Some(&1), "{number}");
    }
    assert!(counts.values().all(|count| *count == 1), "and nothing is there twice");
}

pub(crate) async fn one_node_grows_to_five_and_back_under_load<E: Engine>() {
    let mut members = Members::found::<E>(&[1]);
    (2..=5).for_each(|id| members.join::<E>(id));
    let load = Load::on(vec![members.node(1)]);
    load.goes_on().await;
    for (asked, ids) in [(1, &[1, 2, 3][..]), (3, &[1, 2, 3, 4, 5]), (5, &[1, 3, 5]), (3, &[1])] {
        members.node(asked).change_membership(voters(ids)).await.unwrap();
        let now = members.node(1).members().await.unwrap();
        assert_eq!(now.voters(), voters(ids).voters());
        load.goes_on().await;
    }
    let (acknowledged, longest) = load.end().await;
    println!(
        "{} writes, none later than {} ms after the one before",
        acknowledged.len(),
        longest.as_millis()
    );
    holds_all(&members.node(1), &acknowledged).await;
}

pub(crate) async fn all_three_nodes_are_replaced_one_by_one_under_load<E: Engine>() {
    let mut members = Members::found::<E>(&[1, 2, 3]);
    let load = Load::on(vec![members.node(1), members.node(2), members.node(3)]);
    load.goes_on().await;
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        members.join::<E>(new);
        let asked = members.node(new - 1);
        asked.add_learner(new, "").await.unwrap();
        asked.promote(new).await.unwrap();
        load.move_to((old + 1..=new).map(|id| members.node(id)).collect());
        asked.remove(old).await.unwrap();
        load.goes_on().await;
        members.stop(old).await;
        load.goes_on().await;
    }
    let (acknowledged, longest) = load.end().await;
    println!(
        "{} writes, none later than {} ms after the one before",
        acknowledged.len(),
        longest.as_millis()
    );
    assert!(longest < Duration::from_secs(4), "never longer than two election timeouts: {longest:?}");
    let now = members.node(5).members().await.unwrap();
    assert_eq!(now.voters(), voters(&[4, 5, 6]).voters());
    holds_all(&members.node(6), &acknowledged).await;
}

pub(crate) async fn a_removed_node_stops_disturbing<E: Engine>() {
    let members = Members::found::<E>(&[1, 2, 3]);
    let leader = members.node(1).leader().await.unwrap().0;
    let removed = leader % 3 + 1;
    let stays = members.node(leader);
    stays.propose(number(1)).await.unwrap();
    members.node(removed).remove(removed).await.unwrap();
    let mut status = members.node(removed).watch();
    let silent = |status: &Status| status.role == Role::Learner && status.membership.voters().len() == 2;
    status.wait_for(silent).await.unwrap();
    let generation = stays.status().generation;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stays.status().generation, generation, "there was no election");
    stays.propose(number(2)).await.unwrap();
}

pub(crate) async fn the_leader_itself_is_removed_and_hands_over<E: Engine>() {
    let members = Members::found::<E>(&[1, 2, 3]);
    let leader = members.node(1).leader().await.unwrap().0;
    let stays: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != leader).collect();
    members.node(stays[0]).propose(number(1)).await.unwrap();
    members.node(leader).remove(leader).await.unwrap();
    members.node(stays[0]).propose(number(2)).await.unwrap();
    let next = members.node(stays[0]).leader().await.unwrap().0;
    assert!(stays.contains(&next), "{next}");
    let now = members.node(stays[1]).members().await.unwrap();
    assert_eq!(now.voters(), voters(&stays).voters());
}

pub(crate) async fn what_cannot_be_is_refused_and_did_not_happen<E: Engine>() {
    let members = Members::found::<E>(&[1, 2, 3]);
    let node = members.node(2);
    node.propose(number(1)).await.unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Refused { reason }) => reason,
        other => panic!("not refused: {other:?}"),
    };
    assert!(refused(node.promote(9).await).contains("no member"));
    assert!(refused(node.remove(9).await).contains("no member"));
    let nobody = Membership::new([], [], [NodeId(1)]).unwrap();
    assert!(refused(node.change_membership(nobody).await).contains("without voters"));
    assert!(refused(node.add_learner(1, "").await).contains("is a voter already"));
    assert!(node.members().await.unwrap().has_same_members(&voters(&[1, 2, 3])));
}

pub(crate) async fn leadership_moves_on_request_and_before_a_shutdown<E: Engine>() {
    let mut members = Members::found::<E>(&[1, 2, 3]);
    let first = members.node(1).leader().await.unwrap().0;
    members.node(first).propose(number(1)).await.unwrap();
    let next = first % 3 + 1;
    members.node(next).transfer_leadership(Some(NodeId(next))).await.unwrap();
    let mut status = members.node(next).watch();
    status.wait_for(|status| status.role == Role::Leader).await.unwrap();
    let writes: Vec<_> = (10..110).map(|count| members.node(first).propose(number(count))).collect();
    let begun = tokio::time::Instant::now();
    members.stop(next).await;
    for write in writes {
        write.await.unwrap();
    }
    members.node(first).propose(number(200)).await.unwrap();
    println!("a leader was shut down, and writes went on within {} ms", begun.elapsed().as_millis());
}

/// A node loses its disk and is started as before. It is refused, says so, and disturbs nobody; then it is removed and
/// added again, while it runs.
pub(crate) async fn a_wiped_node_is_refused_and_comes_back_as_a_learner<E: Engine>() {
    let mut members = Members::found::<E>(&[1, 2, 3]);
    let leader = members.node(1).leader().await.unwrap().0;
    let (wiped, stays) = (leader % 3 + 1, members.node(leader));
    stays.propose(number(1)).await.unwrap();
    let known =
        stays.members().await.unwrap().store(NodeId(wiped)).expect("founders are known by their stores");
    members.stop(wiped).await;
    members.start::<E>(wiped, &[1, 2, 3], false);
    let mut status = members.node(wiped).watch();
    let refused = |status: &Status| !status.refused_stores.is_empty();
    let refused = status.wait_for(refused).await.unwrap().clone();
    let refusal = refused.refused_stores[0];
    assert_eq!((refusal.node, refusal.known), (NodeId(wiped), known));
    assert!(refused.notes.iter().any(|note| note.contains("remove node") && note.contains("add it again")));
    let generation = stays.status().generation;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stays.status().generation, generation, "there was no election");
    stays.propose(number(2)).await.unwrap();
    if !E::CAPABILITIES.membership_change {
        println!("{} cannot change its members, so the disk stays refused", E::NAME);
        return;
    }
    stays.remove(wiped).await.unwrap();
    stays.add_learner(wiped, "").await.unwrap();
    stays.promote(wiped).await.unwrap();
    let again = stays.members().await.unwrap().store(NodeId(wiped));
    assert_eq!(again, Some(refusal.found), "it has a vote, so it is known by its disk");
    // With one of the others gone, its vote and its disk count.
    let other = leader % 3 + 2;
    members.stop(if other > 3 { 1 } else { other }).await;
    members.node(wiped).propose(number(3)).await.unwrap();
    holds_all(&members.node(wiped), &[1, 2, 3]).await;
    assert_eq!(members.node(wiped).status().refused_stores, []);
}

/// A removed node knows it from its own log; or, if it was away, from the others. So do its clients.
pub(crate) async fn a_removed_node_says_so<E: Engine>() {
    let mut members = Members::found::<E>(&[1, 2, 3]);
    let leader = members.node(1).leader().await.unwrap().0;
    let (gone, stays) = (members.node(leader % 3 + 1), members.node(leader));
    let told = async |by_others: Option<bool>| {
        let mut status = gone.watch();
        let knows = |status: &Status| {
            status.removed.is_some_and(|it| by_others.is_none_or(|told| it.told_by.is_some() == told))
        };
        let status = status.wait_for(knows).await.unwrap().clone();
        assert!(status.notes.iter().any(|note| note.contains("was removed")), "{:?}", status.notes);
        let refused = gone.propose(number(1)).await.unwrap_err();
        assert!(matches!(refused, Error::NoLeader { removed: Some(_), .. }), "{refused:?}");
        assert!(refused.to_string().contains("this node was removed from the cluster"), "{refused}");
        assert!(matches!(gone.read(|_| ()).await, Err(Error::NoLeader { removed: Some(_), .. })));
    };
    stays.remove(gone.id()).await.unwrap();
    told(Some(false)).await;
    stays.add_learner(gone.id(), "").await.unwrap();
    stays.promote(gone.id()).await.unwrap();
    while gone.propose(number(2)).await.is_err() {}
    gone.watch().wait_for(|status| status.removed.is_none()).await.unwrap();
    // The second time it hears nothing of it.
    members.network.isolate(gone.id());
    stays.remove(gone.id()).await.unwrap();
    // The leader forgets in time whom it cannot tell.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(gone.status().removed, None, "nobody has told it");
    members.network.heal();
    // By one that says that it does not know it. On Multi-Paxos any member tells what is chosen, and the log may be first.
    told((E::NAME.0 != "multi-paxos").then_some(true)).await;
    members.stop(leader).await;
}

pub(crate) async fn without_the_capability_the_request_is_refused<E: Engine>() {
    let members = Members::found::<E>(&[1]);
    let node = members.node(1);
    node.propose(number(1)).await.unwrap();
    if !E::CAPABILITIES.membership_change {
        let refused = node.add_learner(2, "").await.unwrap_err();
        assert!(
            matches!(&refused, Error::Refused { reason } if reason.contains("does not support")),
            "{refused}"
        );
    }
    if !E::CAPABILITIES.leadership_transfer {
        let refused = node.transfer_leadership(None).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Refused { reason } if reason.contains("does not support")),
            "{refused}"
        );
    }
}

/// The leader that was to carry out a change is gone before it could. Whoever asked another node for it is told that nobody
/// knows, long before the deadline of a change (15 min; a test here may take three).
pub(crate) async fn a_change_whose_leader_is_lost_ends_in_moments<E: Engine>() {
    let members = Members::found::<E>(&[1, 2, 3]);
    let leader = members.node(1).leader().await.unwrap().0;
    let asks = members.node(leader % 3 + 1);
    asks.add_learner(4, "").await.unwrap(); // nobody: it never catches up
    let change = tokio::spawn({
        let asks = asks.clone();
        async move { asks.promote(4).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await; // it is on its way, or there
    members.network.isolate(leader);
    let begun = tokio::time::Instant::now();
    let ended = change.await.unwrap();
    println!("it ended {} ms after its leader", begun.elapsed().as_millis());
    assert!(
        matches!(ended, Err(Error::OutcomeUnknown { reason }) if reason.contains("look at the members")),
        "{ended:?}"
    );
    assert_eq!(asks.members().await.unwrap().learners(), [NodeId(4)], "that is how it can be known");
}

pub(crate) async fn members_that_no_entry_has_room_for_are_refused<E: Engine>() {
    let options = Options { command_bytes_max: 2_000, entry_bytes_max: 2_000, ..Options::default() };
    let node = Node::builder("ledger", 1, [1], Ledger::default())
        .storage(MemoryLog::new())
        .transport(LocalNetwork::new().transport(1))
        .engine::<E>()
        .options(options)
        .start()
        .unwrap();
    let address = "a".repeat(Membership::ADDRESS_BYTES_MAX);
    let mut added = 0;
    let refused = loop {
        match node.add_learner(2 + added, address.clone()).await {
            Ok(()) => added += 1,
            Err(refused) => break refused,
        }
    };
    assert!(
        matches!(&refused, Error::Refused { reason } if reason.contains("an entry has room for 2000")),
        "{refused}"
    );
    assert_eq!(node.members().await.unwrap().learners().len() as u64, added);
    let many = Membership::new([NodeId(1)], [], (2..300).map(NodeId)).unwrap();
    let refused = node.change_membership(many).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Refused { reason } if reason.contains("an entry has room for 2000")),
        "{refused}"
    );
}
