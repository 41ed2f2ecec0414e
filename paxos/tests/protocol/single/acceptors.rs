//! What an acceptor may say, and what must be on its disk before.

use consensus_api::{Generation, Index};
use quorate_paxos::single::{Body, Won};

use super::{Cluster, Peers, ballot, is_accepted, is_nack, is_promise};

const NOTHING_WON: Won = Won { first: Index::ZERO, last: Index::ZERO };
const ACCEPT: Body = Body::Accept { won: NOTHING_WON };
const PREPARE: Body = Body::Prepare { slot: Index(1) };

fn nacks(cluster: &mut Cluster) -> Vec<Generation> {
    let promised = |body| if let Body::Nack { promised } = body { promised } else { Generation::ZERO };
    cluster.take(is_nack).iter().map(|packet| promised(packet.message.body)).collect()
}

/// atlasdb #1508; omnipaxos_storage before 0.2.4: a promise that is not durable is heard of by nobody, and binds nobody.
#[test]
fn a_promise_leaves_only_once_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.say(2, 1, ballot(1, 2), PREPARE, &[]);
    assert!(cluster.packets.is_empty());
    cluster.restart(1);
    assert_eq!(cluster.engine(1).promised(), Generation::ZERO);
    cluster.say(2, 1, ballot(1, 2), PREPARE, &[]);
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_promise).len(), 1);
    cluster.restart(1);
    let old = cluster.placed(1, ballot(0, 3));
    cluster.say(3, 1, ballot(0, 3), ACCEPT, &[old]);
    assert_eq!(nacks(&mut cluster), [ballot(1, 2)], "the promise outlives the crash");
}

/// phxpaxos documents it for `iSyncInterval > 0`; libpaxos with `lmdb_sync=0`; CorfuDB #2482.
#[test]
fn an_acceptance_leaves_only_once_it_is_durable_and_then_survives() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.say(2, 1, ballot(1, 2), ACCEPT, std::slice::from_ref(&entry));
    assert!(cluster.packets.is_empty());
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_accepted).len(), 1);
    cluster.restart(1);
    assert_eq!(cluster.held(1, 1), Some(&entry));
    assert_eq!(cluster.engine(1).promised(), ballot(1, 2), "what was accepted was promised");
}

/// A promise or an acceptance that waits for the disk is not spoken of once a higher ballot has been promised.
#[test]
fn an_answer_that_waits_is_dropped_when_a_higher_ballot_is_promised() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.say(2, 1, ballot(1, 2), ACCEPT, &[entry]);
    cluster.say(3, 1, ballot(2, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    assert!(cluster.take(is_accepted).is_empty(), "whoever was promised more was told of less");
    let promises = cluster.take(is_promise);
    assert_eq!((promises.len(), promises[0].to), (1, 3));
}

/// scylladb #6139: accepting an older ballot than the one promised let two writes win.
#[test]
fn a_ballot_below_the_promise_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.say(3, 1, ballot(5, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    cluster.drop_all();
    let entry = cluster.placed(1, ballot(3, 2));
    cluster.say(2, 1, ballot(3, 2), ACCEPT, &[entry]);
    assert_eq!(nacks(&mut cluster), [ballot(5, 3)]);
    assert_eq!(cluster.last(1), 0);
    cluster.say(2, 1, ballot(4, 2), PREPARE, &[]);
    assert_eq!(nacks(&mut cluster), [ballot(5, 3)], "the refusal says what to exceed");
}

/// frankenpaxos' CASPaxos acceptor leaves its round as it was: then a lower ballot is accepted after a higher one.
#[test]
fn accepting_a_ballot_promises_it() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(7, 2));
    cluster.say(2, 1, ballot(7, 2), ACCEPT, &[entry]);
    let lower = cluster.placed(1, ballot(6, 3));
    cluster.say(3, 1, ballot(6, 3), ACCEPT, &[lower]);
    assert_eq!(nacks(&mut cluster), [ballot(7, 2)]);
    assert_eq!(cluster.engine(1).accepted_at(Index(1)), Some(ballot(7, 2)));
}

/// frankenpaxos stored the promised round as the accepted one; Sutra 2019 (arXiv 1906.10917) on EPaxos' single ballot.
#[test]
fn a_promise_names_the_ballot_at_which_the_value_was_accepted() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(7, 2));
    cluster.say(2, 1, ballot(7, 2), ACCEPT, std::slice::from_ref(&entry));
    cluster.complete_writes(1);
    cluster.drop_all();
    cluster.say(3, 1, ballot(8, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    let promise = cluster.take(is_promise).remove(0).message.body;
    assert_eq!(promise, Body::Promise { slot: Index(1), accepted: ballot(7, 2), last: Index(1) });
    cluster.say(3, 1, ballot(8, 3), Body::Fetch { slot: Index(1), accepted: ballot(7, 2) }, &[]);
    assert_eq!(cluster.packets.remove(0).entries, [entry]);
}

/// Whoever is behind would only disturb those who are not: it is told to learn.
#[test]
fn a_chosen_slot_is_promised_to_nobody() {
    let mut cluster = Cluster::met(3);
    cluster.propose(1);
    cluster.settle();
    let promised = cluster.engine(2).promised();
    cluster.say(3, 2, ballot(9, 3), PREPARE, &[]);
    assert_eq!(cluster.engine(2).promised(), promised);
    let answer = cluster.packets.remove(0).message.body;
    assert_eq!(answer, Body::Status { commit: Index(1) });
    let late = cluster.placed(1, ballot(9, 3));
    cluster.say(3, 2, ballot(9, 3), ACCEPT, &[late]);
    assert_eq!(cluster.engine(2).accepted_at(Index(1)), Some(promised), "what is chosen stays");
}

/// Nobody speaks in another's name, and nothing is accepted that could not stand in a log.
#[test]
fn a_message_in_anothers_name_changes_nothing() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.say(3, 1, ballot(1, 2), ACCEPT, std::slice::from_ref(&entry));
    cluster.say(3, 1, ballot(1, 2), PREPARE, &[]);
    cluster.say(2, 1, ballot(1, 2), ACCEPT, &[]);
    let mut nowhere = entry;
    nowhere.index = Index::ZERO;
    cluster.say(2, 1, ballot(1, 2), ACCEPT, &[nowhere]);
    assert_eq!((cluster.engine(1).promised(), cluster.last(1)), (Generation::ZERO, 0));
}
