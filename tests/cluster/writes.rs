//! Writes: taken by every node, answered in every case, in order.

use std::time::Duration;

use futures::future::{join_all, select_all};
use quorate::{Engine, Error, LocalNetwork, MemoryLog, Node, Options};

use crate::ledger::{Ledger, in_memory, leader, number};

pub(crate) async fn every_node_takes_writes<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    for (count, node) in (1..).zip(&nodes) {
        assert_eq!(node.propose(number(count)).await, Ok(count));
    }
    for node in &nodes {
        assert_eq!(node.read(|ledger| ledger.0.clone()).await, Ok(vec![1, 2, 3]));
    }
}

pub(crate) async fn writes_of_one_handle_keep_their_order<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    for node in &nodes {
        let before = node.read(|ledger| ledger.0.len() as u64).await.unwrap();
        let writes: Vec<_> = (0..1000).map(|count| node.propose(number(count))).collect();
        let answers: Vec<_> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
        assert!(answers.is_sorted() && answers[0] == before + 1);
    }
}

pub(crate) async fn dropping_the_future_does_not_take_the_write_back<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    leader(&nodes).await;
    for node in &nodes {
        drop(node.propose(number(7)));
    }
    let seven = |ledger: &Ledger| ledger.0.iter().filter(|number| **number == 7).count();
    while nodes[0].read(seven).await != Ok(3) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn a_command_over_the_limit_is_refused_and_did_not_happen<E: Engine>() {
    let small = Options { command_bytes_max: 100, ..Options::default() };
    let nodes = in_memory::<E>(&small);
    let refused = nodes[1].propose((1, vec![0; 200])).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes: 203, bytes_max: 100 }), "{refused:?}");
    assert!(refused.to_string().contains("it did not happen"));
    assert_eq!(nodes[1].propose((1, vec![0; 90])).await, Ok(1));
}

/// Whoever else writes: nothing comes between the commands of a batch, and the answers are those to them.
pub(crate) async fn a_batch_stays_together<E: Engine>() {
    let nodes = in_memory::<E>(&Options { entry_bytes_max: 300, ..Options::default() });
    let mut batches = Vec::new();
    let mut singles = Vec::new();
    for round in 0..40 {
        for (node, at) in nodes.iter().zip(0..) {
            let first = 1000 * (3 * round + at) + 1;
            let batch = (first..first + 1 + round).map(number);
            batches.push((first, node.propose_batch(batch)));
            singles.push(node.propose(number(0)));
        }
    }
    let (firsts, answers): (Vec<u64>, Vec<_>) = batches.into_iter().unzip();
    let (answers, singles) = tokio::join!(join_all(answers), join_all(singles));
    assert!(singles.iter().all(Result::is_ok));
    let held = nodes[0].read(|ledger| ledger.0.clone()).await.unwrap();
    for (first, answers) in firsts.into_iter().zip(answers) {
        let (answers, round) = (answers.unwrap(), (first - 1) / 3000);
        let at = held.iter().position(|number| *number == first).unwrap() as u64;
        assert_eq!(answers, (at + 1..=at + 1 + round).collect::<Vec<_>>());
        assert!(
            (first..).zip(&held[at as usize..]).take(answers.len()).all(|(wanted, held)| wanted == *held)
        );
    }
    assert_eq!(nodes[1].propose_batch([]).await, Ok(Vec::new()));
}

pub(crate) async fn a_batch_over_a_limit_is_refused_and_none_of_it_happened<E: Engine>() {
    let small = Options { command_bytes_max: 100, entry_bytes_max: 1000, ..Options::default() };
    let nodes = in_memory::<E>(&small);
    let sizes = |sizes: [usize; 3]| sizes.map(|bytes| (1, vec![0; bytes]));
    let refused = nodes[1].propose_batch(sizes([1, 1, 200])).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes: 203, bytes_max: 100 }), "{refused:?}");
    let refused = nodes[1].propose_batch((0..20).map(|count| (count, vec![0; 90]))).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { bytes_max: 1000, .. }), "{refused:?}");
    assert_eq!(nodes[1].propose_batch(sizes([1, 1, 90])).await, Ok(vec![1, 2, 3]));
}

pub(crate) async fn a_full_budget_is_busy_and_waiting_gets_through<E: Engine>() {
    let small = Options { request_bytes_max: 4000, command_bytes_max: 2000, ..Options::default() };
    let nodes = in_memory::<E>(&small);
    let node = &nodes[0];
    let writes: Vec<_> = (0..50).map(|count| node.propose((count, vec![0; 1000]))).collect();
    let busy = node.try_propose((99, vec![0; 1000])).await;
    assert_eq!(busy, Err(Error::Busy { bytes_max: 4000 }));
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert_eq!(node.try_propose((99, vec![0; 1000])).await, Ok(51));
}

pub(crate) async fn without_a_majority_nothing_is_acknowledged<E: Engine>() {
    let [a, b, c] = in_memory::<E>(&Options::default());
    a.propose(number(1)).await.unwrap();
    b.shutdown().await;
    c.shutdown().await;
    let error = a.propose(number(2)).await.unwrap_err();
    assert!(matches!(error, Error::NoLeader { .. } | Error::OutcomeUnknown { .. }), "{error:?}");
    // Once it is known that no one leads, a request certainly does not happen.
    let error = a.propose(number(3)).await.unwrap_err();
    assert!(!error.may_have_happened(), "{error:?}");
}

pub(crate) async fn shutting_down_answers_everyone<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let node = leader(&nodes).await;
    let writes: Vec<_> = (0..100).map(|count| node.propose(number(count))).collect();
    node.shutdown().await;
    let mut writes: Vec<_> = writes.into_iter().map(Box::pin).collect();
    while !writes.is_empty() {
        let (answer, _, rest) = select_all(writes).await;
        assert!(!matches!(answer, Err(Error::NoLeader { .. })), "{answer:?}");
        writes = rest;
    }
    let stopped = node.propose(number(1)).await.unwrap_err();
    assert!(matches!(stopped, Error::Stopped { .. }), "{stopped:?}");
    assert!(node.status().stopped.is_some());
}

pub(crate) async fn one_node_is_a_cluster<E: Engine>() {
    let alone: Node<Ledger> = Node::builder("alone", 9, [9], Ledger::default())
        .storage(MemoryLog::new())
        .transport(LocalNetwork::new().transport(9))
        .engine::<E>()
        .start()
        .unwrap();
    assert_eq!(alone.propose(number(5)).await, Ok(1));
    assert_eq!(alone.read(|ledger| ledger.0[0]).await, Ok(5));
}
