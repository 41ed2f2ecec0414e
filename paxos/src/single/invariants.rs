//! The laws of the leaderless log as asserts, in three forms: of one state, of one step, of a whole cluster. An engine
//! knows the ballots in its log, not the values; that equal ballots mean equal values is for whoever holds the disks to
//! check.

use consensus_api::{Index, quorum};

use super::Paxos;
use super::proposer::{Attempt, Stage};
use crate::quorum::Phase;

/// Counts the laws that were looked at.
#[derive(Default)]
struct Laws(u64);

impl Laws {
    #[track_caller]
    fn hold(&mut self, law: bool, sentence: &str) {
        self.0 += 1;
        assert!(law, "{sentence}");
    }
}

/// Panics unless this state on its own is sound.
pub(super) fn check(paxos: &Paxos) -> u64 {
    let mut laws = Laws::default();
    let (log, promised) = (&paxos.log, paxos.acceptor.promised());
    laws.hold(log.compacted() <= log.snapshot_index(), "only what a snapshot covers is compacted");
    laws.hold(log.snapshot_index() <= paxos.commit, "only what is chosen is in a snapshot");
    laws.hold(paxos.applied <= paxos.commit, "only what is chosen is applied");
    laws.hold(paxos.watermark <= paxos.commit, "the watermark speaks of chosen slots");
    laws.hold(log.is_unbroken(paxos.commit), "the chosen prefix has no holes");
    for run in log.runs() {
        laws.hold(run.generation <= promised, "whatever was accepted was promised");
        laws.hold(run.first <= run.last, "runs are not empty");
    }
    for slot in paxos.names.keys() {
        laws.hold(*slot > paxos.commit, "names are kept only of what is not known to be chosen");
        laws.hold(log.ballot_at(*slot).is_some(), "only what was accepted has a name");
    }
    let voters = paxos.membership.voters().len();
    let size = |phase| paxos.quorums.size(phase, voters);
    laws.hold(
        quorum::intersect(voters, size(Phase::One), size(Phase::Two)),
        "a quorum of promises and a quorum of acceptances always meet",
    );
    if let Some(held) = &paxos.held {
        laws.hold(held.ballot.node == paxos.node, "a member holds ballots of its own");
        laws.hold(held.ballot == promised, "a ballot is held until a higher one is promised");
    }
    if let Some(attempt) = &paxos.attempt {
        check_attempt(paxos, attempt, &mut laws);
    }
    laws.0
}

fn check_attempt(paxos: &Paxos, attempt: &Attempt, laws: &mut Laws) {
    let Attempt { ballot, slot, stage } = attempt;
    laws.hold(ballot.node == paxos.node, "a proposer's ballot bears its own number");
    laws.hold(*ballot == paxos.acceptor.promised(), "a proposer obeys its own ballot, and no other");
    laws.hold(*slot == paxos.commit.next(), "a proposal is for the first open slot");
    let held = paxos.held.is_some_and(|held| held.ballot == *ballot && held.free_from > *slot);
    let accepted = paxos.log.ballot_at(*slot);
    match stage {
        Stage::Preparing(promises) => {
            laws.hold(accepted < Some(*ballot), "in phase 1 nothing is proposed yet");
            for promise in promises {
                laws.hold(promise.voter != paxos.node, "the own promise is counted from the own disk");
                laws.hold(promise.accepted < *ballot, "what was accepted before is of a lower ballot");
            }
        }
        Stage::Fetching(fetching) => {
            laws.hold(held, "phase 1 is over once a quorum has promised");
            laws.hold(fetching.accepted < *ballot, "what is taken up is of a lower ballot");
            laws.hold(accepted < Some(*ballot), "nothing is proposed before its value is there");
        }
        Stage::Accepting(accepting) => {
            laws.hold(accepted == Some(*ballot), "a proposer accepts what it proposes");
            let named = paxos.names.get(slot) == Some(&accepting.proposal);
            laws.hold(named, "the value proposed is the value accepted");
            let own = accepting.acks.contains(&paxos.node);
            laws.hold(!(own && accepting.writing.is_some()), "the own acceptance counts once it is durable");
        }
    }
}

/// Panics unless `after` may follow `before` in one step.
pub(super) fn check_step(before: &Paxos, after: &Paxos) -> u64 {
    let mut laws = Laws::default();
    let (promised, promised_after) = (before.acceptor.promised(), after.acceptor.promised());
    laws.hold(before.node == after.node, "nobody becomes another");
    laws.hold(promised <= promised_after, "promises only grow");
    laws.hold(before.commit <= after.commit, "what is chosen stays chosen");
    laws.hold(before.applied <= after.applied, "what is applied stays applied");
    laws.hold(before.log.compacted() <= after.log.compacted(), "what is compacted stays compacted");
    laws.hold(before.round_seen <= after.round_seen, "rounds heard of are not forgotten");
    for run in before.log.runs() {
        for slot in ends_above(run.first, run.last, after.log.compacted()) {
            let now = after.log.ballot_at(slot);
            laws.hold(now >= Some(run.generation), "the ballot of a slot only grows, and no slot is emptied");
            let kept = slot > before.commit || now == Some(run.generation);
            laws.hold(kept, "a slot that is known to be chosen is not written again");
        }
    }
    for run in after.log.runs() {
        let new = before.log.ballot_at(run.last) != Some(run.generation) && run.last > after.commit;
        laws.hold(
            !new || run.generation >= promised,
            "nothing is accepted below the promise, but what is chosen",
        );
    }
    let (wanted, still) = (before.wanted.as_ref(), after.wanted.as_ref());
    laws.hold(
        wanted.is_none() || wanted == still || before.commit < after.commit,
        "what a member wants it wants until something was chosen",
    );
    if let (Some(old), Some(new)) = (&before.attempt, &after.attempt)
        && (old.ballot, old.slot) == (new.ballot, new.slot)
        && let Stage::Accepting(proposed) = &old.stage
    {
        let same = matches!(&new.stage, Stage::Accepting(now) if now.proposal == proposed.proposal);
        laws.hold(same, "a ballot proposes one value in a slot");
    }
    laws.0
}

fn ends_above(first: Index, last: Index, compacted: Index) -> impl Iterator<Item = Index> {
    [first.max(compacted.next()), last].into_iter().filter(move |_| last > compacted)
}

/// Panics unless these states of one cluster's members may exist together.
pub(super) fn check_cluster(members: &[&Paxos]) -> u64 {
    let mut laws = Laws::default();
    for (at, one) in members.iter().enumerate() {
        for other in &members[at + 1..] {
            laws.hold(one.node != other.node, "every member has a number of its own");
        }
        for member in members.iter().filter(|member| member.node != one.node) {
            if let Some(attempt) = &one.attempt {
                check_answers(attempt, member, &mut laws);
            }
        }
    }
    check_order(members, &mut laws);
    laws.0
}

fn check_answers(attempt: &Attempt, member: &Paxos, laws: &mut Laws) {
    match &attempt.stage {
        Stage::Preparing(promises) => {
            let counted = promises.iter().any(|promise| promise.voter == member.node);
            laws.hold(
                !counted || member.acceptor.promised() >= attempt.ballot,
                "whoever promised a ballot obeys none below it",
            );
        }
        Stage::Accepting(accepting) if accepting.acks.contains(&member.node) => {
            let held = member.log.ballot_at(attempt.slot) >= Some(attempt.ballot);
            laws.hold(
                held || member.log.compacted() >= attempt.slot,
                "what was acknowledged is held, at that ballot or a higher one",
            );
        }
        Stage::Fetching(_) | Stage::Accepting(_) => {}
    }
    let theirs = member.log.of_ballot(attempt.slot.next(), attempt.ballot);
    laws.hold(theirs.is_none(), "nobody holds a value of a ballot that its proposer did not propose");
}

/// Nobody proposes in a slot before all below are chosen: so a quorum holds every slot below any that was touched.
fn check_order(members: &[&Paxos], laws: &mut Laws) {
    let last = members.iter().map(|member| member.log.last()).max().unwrap_or_default();
    let Some(touched) = members.iter().find(|member| member.log.last() == last) else { return };
    let complete = touched.membership.voters().iter().all(|id| members.iter().any(|it| it.node == *id));
    let below = last.prev();
    if !complete || below == Index::ZERO {
        return;
    }
    let holds = |id| {
        let found = members.iter().find(|member| member.node == id);
        found.is_some_and(|member| member.commit >= below || member.log.ballot_at(below).is_some())
    };
    laws.hold(
        touched.quorums.holds(Phase::Two, &touched.membership, holds),
        "no slot is touched above one that is not chosen",
    );
}
