//! Linearizable reads.

use quorate::{Engine, Error, Options};

use crate::ledger::{in_memory, number};

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
