//! What an operator asks of a follower, when frames to the leader or back are lost.

use std::time::Duration;

use node::Errand;
use quorate::{Engine, Error, NodeId};

use crate::pair::Pair;

const ERRAND: u8 = 8;
const ERRAND_ENDED: u8 = 9;
/// A lost frame is noticed after one election timeout; the rest is for what follows.
const GOOD_TIME: Duration = Duration::from_secs(3);

fn add(node: u64) -> Errand {
    Errand::AddLearner { node: NodeId(node), address: "there:1".to_owned() }
}

/// Asks the follower for a learner, and loses what then goes to `to` with this first byte.
fn ask_and_lose(to: u64, kind: u8) -> Pair {
    let mut pair = Pair::elected();
    pair.follower.administer(pair.now, add(4), 1);
    let lost = pair.hold_back(|pair| pair.run(8), NodeId(to), kind);
    assert_eq!(lost.len(), 1, "there was something to lose");
    assert!(pair.administered.is_empty());
    pair
}

#[test]
fn an_errand_that_is_lost_on_its_way_to_the_leader_is_carried_out_in_good_time() {
    let mut pair = ask_and_lose(1, ERRAND);
    pair.pass(GOOD_TIME);
    assert_eq!(pair.administered, [(1, Ok(()))]);
    assert!(pair.follower.engine().membership().contains(NodeId(4)));
}

/// The change is made and its end is lost: it is told again, and nothing is done twice.
#[test]
fn an_answer_that_is_lost_on_its_way_back_is_told_again() {
    let mut pair = ask_and_lose(2, ERRAND_ENDED);
    let last = pair.leader.standing().last;
    assert!(pair.leader.engine().membership().contains(NodeId(4)), "the change itself is made");
    pair.pass(GOOD_TIME);
    assert_eq!(pair.administered, [(1, Ok(()))]);
    assert_eq!(pair.leader.standing().last, last, "nothing more went into the log");
}

/// A later one gets through where an earlier one was lost. The earlier is not taken for a copy of what was had before.
#[test]
fn an_errand_that_was_overtaken_is_still_carried_out() {
    let mut pair = ask_and_lose(1, ERRAND);
    pair.follower.administer(pair.now, add(5), 2);
    pair.run(8);
    assert_eq!(pair.administered, [(2, Ok(()))]);
    pair.pass(GOOD_TIME);
    assert_eq!(pair.administered, [(2, Ok(())), (1, Ok(()))]);
    let membership = pair.follower.engine().membership();
    assert!(membership.contains(NodeId(4)) && membership.contains(NodeId(5)));
}

/// A refusal is lost: the same one comes, though by now the errand would be carried out.
#[test]
fn a_refusal_that_is_lost_is_told_again() {
    let mut pair = Pair::elected();
    pair.follower.administer(pair.now, Errand::Promote { node: NodeId(4) }, 1);
    let lost = pair.hold_back(|pair| pair.run(8), NodeId(2), ERRAND_ENDED);
    assert_eq!(lost.len(), 1);
    pair.leader.administer(pair.now, add(4), 2);
    pair.run(8);
    pair.pass(GOOD_TIME);
    let [(2, Ok(())), (1, Err(Error::Refused { reason }))] = &pair.administered[..] else {
        panic!("{:?}", pair.administered);
    };
    assert!(reason.contains("add it first"), "{reason}");
}

/// Nobody is left who could answer: that is said after the time that a request may take, not that of a change.
#[test]
fn a_member_that_is_cut_off_does_not_wait_for_the_end_of_a_change() {
    let mut pair = ask_and_lose(2, ERRAND_ENDED);
    pair.apply_all();
    pair.parted = true;
    pair.pass(Duration::from_secs(10));
    let [(1, Err(error @ Error::OutcomeUnknown { reason }))] = &pair.administered[..] else {
        panic!("{:?}", pair.administered);
    };
    assert!(error.may_have_happened() && reason.contains("no leader is heard"), "{reason}");
}
