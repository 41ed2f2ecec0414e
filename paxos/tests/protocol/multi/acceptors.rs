//! What an acceptor may say, and what must be on its disk before.

use consensus_api::{Engine, Generation, Index, ReadRound};
use quorate_paxos::{Body, Tidings};

use crate::multi::{Ballots, Cluster, ballot, is_accepted, is_nack, is_prepare, is_promise, timing};

const TIDINGS: Tidings =
    Tidings { commit: Index::ZERO, barrier: Index::ZERO, round: ReadRound(0), window: 1024 };
const PREPARE: Body = Body::Prepare { from: Index(1), after: Generation::ZERO, window: 1024 };

fn nacks(cluster: &mut Cluster) -> Vec<Generation> {
    let promised = |body| if let Body::Nack { promised } = body { promised } else { Generation::ZERO };
    cluster.take(is_nack).iter().map(|packet| promised(packet.message.body)).collect()
}

/// atlasdb #1508; omnipaxos_storage before 0.2.4: a promise that is not durable is heard of by nobody, and binds nobody.
#[test]
fn a_promise_leaves_only_once_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.inject(2, 1, ballot(1, 2), PREPARE, &[]);
    assert!(cluster.packets.is_empty());
    cluster.crash(1);
    cluster.restart(1);
    assert_eq!(cluster.engine(1).promised(), Generation::ZERO);
    cluster.inject(2, 1, ballot(1, 2), PREPARE, &[]);
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_promise).len(), 1);
    cluster.restart(1);
    let old = cluster.placed(1, ballot(1, 1 << 40));
    assert_eq!(cluster.engine(1).promised(), ballot(1, 2));
    cluster.inject(3, 1, ballot(0, 3), Body::Accept(TIDINGS), &[old]);
    assert_eq!(nacks(&mut cluster), [ballot(1, 2)], "the promise outlives the crash");
}

/// A promise that waits for the disk is not spoken of once a higher one has been made.
#[test]
fn an_answer_that_waits_is_dropped_when_a_higher_ballot_is_promised() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.inject(2, 1, ballot(1, 2), Body::Accept(TIDINGS), &[entry]);
    cluster.inject(3, 1, ballot(2, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    assert!(cluster.take(is_accepted).is_empty(), "whoever was promised more was told of less");
    let promises = cluster.take(is_promise);
    assert_eq!((promises.len(), promises[0].to), (1, 3));
}

/// phxpaxos documents it for `iSyncInterval > 0`; libpaxos with `lmdb_sync=0`; CorfuDB #2482.
#[test]
fn an_acceptance_leaves_only_once_it_is_durable_and_then_survives() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.inject(2, 1, ballot(1, 2), Body::Accept(TIDINGS), std::slice::from_ref(&entry));
    assert!(cluster.packets.is_empty());
    cluster.complete_writes(1);
    assert_eq!(cluster.take(is_accepted).len(), 1);
    cluster.restart(1);
    assert_eq!(cluster.held(1, 1), Some(&entry));
    assert_eq!(cluster.engine(1).promised(), ballot(1, 2), "what was accepted was promised");
}

/// caspaxos-kv PR #11: of two ballots of one round that of the lower node is the lower one, to an acceptor as to anybody.
#[test]
fn of_two_ballots_in_one_round_the_lower_is_refused() {
    let mut cluster = Cluster::new(3);
    cluster.inject(3, 1, ballot(1, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    cluster.drop_all();
    cluster.inject(2, 1, ballot(1, 2), PREPARE, &[]);
    assert_eq!(nacks(&mut cluster), [ballot(1, 3)]);
    let entry = cluster.placed(1, ballot(1, 2));
    cluster.inject(2, 1, ballot(1, 2), Body::Accept(TIDINGS), &[entry]);
    assert_eq!((nacks(&mut cluster), cluster.last(1)), (vec![ballot(1, 3)], 0));
}

/// scylladb #6139: accepting an older ballot than the one promised let two writes win.
#[test]
fn a_ballot_below_the_promise_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::new(3);
    cluster.inject(3, 1, ballot(5, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    cluster.drop_all();
    let entry = cluster.placed(1, ballot(3, 2));
    cluster.inject(2, 1, ballot(3, 2), Body::Accept(TIDINGS), &[entry]);
    assert_eq!(nacks(&mut cluster), [ballot(5, 3)]);
    assert_eq!(cluster.last(1), 0);
    cluster.inject(2, 1, ballot(4, 2), PREPARE, &[]);
    assert_eq!(nacks(&mut cluster), [ballot(5, 3)], "the refusal says what to exceed");
}

/// frankenpaxos' CASPaxos acceptor leaves its round as it was: then a lower ballot is accepted after a higher one.
#[test]
fn accepting_a_ballot_promises_it() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(7, 2));
    cluster.inject(2, 1, ballot(7, 2), Body::Accept(TIDINGS), &[entry]);
    let lower = cluster.placed(1, ballot(6, 3));
    cluster.inject(3, 1, ballot(6, 3), Body::Accept(TIDINGS), &[lower]);
    assert_eq!(nacks(&mut cluster), [ballot(7, 2)]);
    assert_eq!(cluster.engine(1).accepted_at(Index(1)), Some(ballot(7, 2)));
}

/// frankenpaxos stored the promised round as the accepted one; Sutra 2019 (arXiv 1906.10917) on EPaxos' single ballot.
#[test]
fn a_report_names_the_ballot_at_which_the_value_was_accepted() {
    let mut cluster = Cluster::new(3);
    let entry = cluster.placed(1, ballot(7, 2));
    cluster.inject(2, 1, ballot(7, 2), Body::Accept(TIDINGS), std::slice::from_ref(&entry));
    cluster.complete_writes(1);
    cluster.drop_all();
    cluster.inject(3, 1, ballot(8, 3), PREPARE, &[]);
    cluster.complete_writes(1);
    assert!(cluster.take(is_promise)[0].entries.is_empty(), "entries cannot wait for the promise");
    cluster.inject(3, 1, ballot(8, 3), PREPARE, &[]);
    let report = cluster.take(is_promise).remove(0);
    assert_eq!(report.entries, [entry]);
    assert!(matches!(report.message.body, Body::Promise { accepted, .. } if accepted == ballot(7, 2)));
}

/// phxpaxos #145; libpaxos gives every proposer the same first ballot for ever. Nothing leaves before the own promise is
/// durable, so a crash cannot make anyone begin the same ballot twice.
#[test]
fn a_ballot_is_begun_once_whatever_a_crash_takes() {
    let mut cluster = Cluster::new(3);
    let first = cluster.begin_ballot(1);
    let asked = cluster.take(is_prepare);
    assert_eq!(asked.len(), 2);
    asked.iter().for_each(|packet| cluster.deliver(packet));
    cluster.complete_all_writes();
    let late = cluster.take(is_promise);
    cluster.restart(1);
    let second = cluster.begin_ballot(1);
    assert!(second > first);
    cluster.drop_all();
    late.iter().for_each(|packet| cluster.deliver(packet));
    assert!(cluster.packets.is_empty(), "promises of the earlier ballot elect nobody");
}

/// The same, from the other side: until the own promise is durable, nothing at all is said at its ballot, not even how
/// far slots are chosen.
#[test]
fn nobody_hears_of_a_ballot_before_its_owner_remembers_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(2);
    cluster.propose(2);
    cluster.settle();
    cluster.run(timing().heartbeat * 2);
    cluster.hung.insert(1);
    cluster.wait_long();
    cluster.fire(1);
    cluster.deliver_only(|_| true);
    cluster.deliver_only(|_| true);
    cluster.fire(1);
    assert_eq!((cluster.engine(1).promised(), cluster.commit(1)), (ballot(2, 1), 2));
    assert!(cluster.packets.is_empty(), "{:?}", cluster.packets);
    cluster.crash(1);
    cluster.restart(1);
    assert_eq!(cluster.engine(1).promised(), ballot(1, 2), "nobody else knows of the other either");
}

/// A disk that went back in time (atlasdb #1504 ran into this with wiped nodes): the node finds out, and stops.
#[test]
fn a_node_that_forgot_its_own_ballot_stops() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1);
    cluster.settle();
    cluster.add(1, testkit::protocol::Image::default());
    cluster.inject(2, 1, ballot(0, 1), Body::Nack { promised: ballot(1, 1) }, &[]);
    let cause = cluster.member(1).fatal.clone().expect("it stops");
    assert!(cause.contains("does not remember"), "{cause}");
    assert_eq!(cluster.engine(1).standing().generation, Generation::ZERO);
}
