//! `Effects`: writes are numbered so that waiting for a number is waiting for the write.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_consensus_api::{After, Effects, Generation, Index, NodeId, Op, ReadId, Refusal, WriteSeq};

fn hard_state(byte: u8) -> Op {
    Op::HardState(Bytes::copy_from_slice(&[byte]))
}

proptest! {
    /// `true` writes, `false` takes.
    #[test]
    fn a_write_becomes_durable_with_the_batch_that_bears_its_number(steps in prop::collection::vec(any::<bool>(), 0..60)) {
        let mut effects = Effects::<()>::new();
        let (mut promised, mut last_taken) = (Vec::new(), WriteSeq(0));
        for write in steps {
            if write {
                promised.push(effects.write(Op::Watermark(Index(promised.len() as u64))));
                prop_assert_eq!(effects.newest_write(), *promised.last().expect("just pushed"));
            } else if let Some((seq, batch)) = effects.take_batch() {
                prop_assert_eq!(seq, WriteSeq(last_taken.0 + 1));
                prop_assert!(!batch.is_empty());
                prop_assert!(promised.drain(..).all(|number| number == seq));
                prop_assert_eq!(effects.newest_write(), seq);
                last_taken = seq;
            } else {
                prop_assert!(promised.is_empty());
            }
        }
    }
}

#[test]
fn the_first_write_is_number_one_and_nothing_is_number_zero() {
    let mut effects = Effects::<()>::default();
    assert_eq!(effects.newest_write(), WriteSeq(0));
    assert_eq!(effects.take_batch(), None);
    assert_eq!(effects.write(hard_state(1)), WriteSeq(1));
    assert_eq!(effects.write_hard_state(Bytes::new()), WriteSeq(1));
}

#[test]
fn clearing_keeps_the_count_of_writes_and_nothing_else() {
    let mut effects = Effects::new();
    effects.write(hard_state(1));
    effects.send(NodeId(2), After::Durable(WriteSeq(1)), "vote");
    effects.commit(Index(3));
    effects.settle(Generation::new(1, NodeId(1)));
    effects.reads.push((ReadId(1), Err(Refusal::NotLeader)));
    effects.snapshots_needed.push(NodeId(2));
    effects.fatal = Some("cause".into());
    effects.take_batch();
    effects.clear();
    assert!(effects.sends.is_empty() && effects.reads.is_empty() && effects.snapshots_needed.is_empty());
    assert_eq!((effects.committed, effects.settled()), (Index::ZERO, Generation::ZERO));
    assert_eq!((effects.fatal.as_deref(), effects.newest_write()), (None, WriteSeq(1)));
    assert_eq!(effects.write(hard_state(2)), WriteSeq(2));
}

#[test]
fn commit_and_settle_only_grow_within_a_step() {
    let mut effects = Effects::<()>::new();
    let generation = |round| Generation::new(round, NodeId(1));
    for step in [5, 3] {
        effects.commit(Index(step));
        effects.settle(generation(step));
    }
    assert_eq!((effects.committed, effects.settled()), (Index(5), generation(5)));
}
