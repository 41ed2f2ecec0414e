//! Reads of every level.

use std::time::{Duration, Instant};

use quorate::{Engine, Error, Index, LocalNetwork, Options, ReadLevel};

use crate::ledger::{in_memory, leader, number, on_network};

pub(crate) async fn a_read_on_any_node_sees_every_answered_write<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    for round in 0..200_usize {
        let (writer, reader) = (&nodes[round % 3], &nodes[(round / 3) % 3]);
        writer.propose(number(round as u64)).await.unwrap();
        let seen = reader.read(|ledger| ledger.0.len()).await.unwrap();
        assert_eq!(seen, round + 1);
    }
}

pub(crate) async fn without_a_majority_no_read_is_answered<E: Engine>() {
    let [a, b, c] = in_memory::<E>(&Options::default());
    a.propose(number(1)).await.unwrap();
    b.shutdown().await;
    c.shutdown().await;
    let refused = a.read(|ledger| ledger.0.len()).await;
    assert!(matches!(refused, Err(Error::NoLeader { .. })), "{refused:?}");
}

pub(crate) async fn a_read_waits_for_no_write_that_came_after_it<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    nodes[0].propose(number(1)).await.unwrap();
    let read = nodes[1].read(|ledger| ledger.0.len());
    let later: Vec<_> = (0..100).map(|count| nodes[0].propose((count, vec![0; 10_000]))).collect();
    let seen = read.await.unwrap();
    assert!((1..=101).contains(&seen));
    for write in later {
        write.await.unwrap();
    }
}

const HOUR: ReadLevel = ReadLevel::Stale { max_lag: Duration::from_secs(3600) };

pub(crate) async fn reads_of_every_level_see_what_they_promise<E: Engine>() {
    let nodes = in_memory::<E>(&Options::default());
    let mut seen = 0;
    for round in 1..=50_usize {
        let (writer, reader) = (&nodes[round % 3], &nodes[(round / 3) % 3]);
        let (index, _) = writer.propose_indexed(number(round as u64)).await.unwrap();
        let mine = reader.read_at(ReadLevel::AtLeast(index), |ledger| ledger.0.len()).await;
        assert!(mine.unwrap() >= round, "one's own write");
        let leased = reader.read_at(ReadLevel::Lease, |ledger| ledger.0.len()).await;
        assert_eq!(leased, Ok(round));
        let stale = nodes[0].read_at(HOUR, |ledger| ledger.0.len()).await.unwrap();
        assert!((seen..=round).contains(&stale), "{stale} after {seen}: a node's state never goes back");
        seen = stale;
    }
}

pub(crate) async fn a_read_of_an_entry_that_does_not_come_ends_at_its_deadline<E: Engine>() {
    let options = Options { request_deadline: Duration::from_secs(2), ..Options::default() };
    let nodes = in_memory::<E>(&options);
    let (index, _) = nodes[0].propose_indexed(number(1)).await.unwrap();
    let never = nodes[0].read_at(ReadLevel::AtLeast(Index(index.0 + 1000)), |_| ()).await;
    assert!(matches!(never, Err(Error::NoLeader { .. })), "{never:?}");
}

/// A follower that nobody reaches: what it may still say, and what it refuses.
pub(crate) async fn a_node_cut_off_answers_stale_reads_until_its_state_is_too_old<E: Engine>() {
    let network = LocalNetwork::new();
    let nodes = on_network::<E>(&network, &Options::default());
    let leader = leader(&nodes).await;
    let lone = nodes.iter().find(|node| node.id() != leader.id()).unwrap();
    let (index, _) = lone.propose_indexed(number(1)).await.unwrap();
    assert_eq!(lone.read(|ledger| ledger.0.len()).await, Ok(2));

    network.isolate(lone.id());
    let cut = Instant::now();
    leader.propose(number(2)).await.unwrap();
    assert_eq!(lone.read_at(ReadLevel::AtLeast(index), |ledger| ledger.0.len()).await, Ok(2));
    assert_eq!(lone.read_at(HOUR, |ledger| ledger.0.len()).await, Ok(2));
    let max_lag = Duration::from_secs(1);
    let refused = loop {
        let asked = cut.elapsed();
        match lone.read_at(ReadLevel::Stale { max_lag }, |ledger| ledger.0.len()).await {
            Ok(seen) => {
                assert_eq!(seen, 2);
                assert!(asked <= max_lag, "an answer {asked:?} after the node was cut off");
            }
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(matches!(refused, Error::NoLeader { .. }), "{refused:?}");
    assert!(refused.to_string().contains("no leader could be reached"), "{refused}");

    network.heal();
    let seen = loop {
        if let Ok(seen) = lone.read_at(ReadLevel::Stale { max_lag }, |ledger| ledger.0.len()).await {
            break seen;
        }
    };
    assert_eq!(seen, 3, "a state that is young enough has seen the write");
}
