//! The laws of Multi-Paxos as asserts, in three forms: of one state, of one step, of a whole cluster. An engine knows the
//! ballots in its log, not the values; that equal ballots mean equal values is for whoever holds the disks to check.

use consensus_api::{Index, ReadQueue, quorum};

use super::peer::Peer;
use super::proposer::Leadership;
use super::{MultiPaxos, State};
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
pub(super) fn check(paxos: &MultiPaxos) -> u64 {
    let mut laws = Laws::default();
    let (log, promised, commit) = (&paxos.log, paxos.acceptor.promised(), paxos.commit);
    laws.hold(log.compacted() <= log.snapshot_index(), "only what a snapshot covers is compacted");
    laws.hold(log.snapshot_index() <= paxos.commit, "only what is chosen is in a snapshot");
    laws.hold(paxos.applied <= paxos.commit, "only what is chosen is applied");
    laws.hold(paxos.watermark.written() <= paxos.commit, "the watermark speaks of chosen slots");
    laws.hold(paxos.watermark.durable() <= paxos.watermark.written(), "what is durable was written");
    laws.hold(paxos.given_up <= promised, "only ballots below a promised one are given up");
    laws.hold(log.is_unbroken(paxos.commit), "the chosen prefix has no holes");
    for run in log.runs() {
        laws.hold(run.generation <= promised, "whatever was accepted was promised");
        laws.hold(run.first <= run.last, "runs are not empty");
    }
    for membership in paxos.configurations.in_use().filter(|membership| !membership.voters().is_empty()) {
        let voters = membership.voters().len();
        let size = |phase| paxos.quorums.size(phase, voters);
        laws.hold(
            quorum::intersect(voters, size(Phase::One), size(Phase::Two)),
            "a quorum of promises and a quorum of acceptances always meet",
        );
    }
    if let Some(first) = paxos.configurations.takes_effect_at() {
        laws.hold(first > commit, "who is replaced is forgotten once the first slot is chosen without them");
        laws.hold(
            first <= commit.plus(paxos.window),
            "a membership that is chosen decides within the window above it",
        );
    }
    match &paxos.state {
        State::Following(following) => {
            laws.hold(!following.heard || promised.node != paxos.node, "nobody follows themselves");
        }
        State::Asking(asking) => {
            laws.hold(asking.ballot.node == paxos.node, "one asks for one's own ballot");
            laws.hold(asking.ballot > promised, "one asks for a ballot above all promised");
        }
        State::Proposing(leading) => check_leading(paxos, leading, &mut laws),
    }
    laws.0
}

fn check_leading(paxos: &MultiPaxos, leading: &Leadership, laws: &mut Laws) {
    let (log, ballot, commit) = (&paxos.log, leading.ballot, paxos.commit);
    laws.hold(ballot.node == paxos.node, "a proposer's ballot bears its own number");
    laws.hold(ballot == paxos.acceptor.promised(), "a proposer obeys its own ballot, and no other");
    let mut others = paxos.configurations.members();
    others.retain(|id| *id != paxos.node);
    let staying = leading.peers.iter().filter(|peer| peer.leaving.is_none());
    laws.hold(staying.map(|peer| peer.id).eq(others), "a leader sends to every other member");
    let mine = log.runs().iter().rev().find(|run| run.generation == ballot && run.last > commit);
    laws.hold(
        mine.is_none_or(|run| run.last <= commit.plus(paxos.window)),
        "nobody proposes where it is not known yet who decides",
    );
    let accepted = |(first, last): (Index, Index)| {
        log.of_ballot(first, ballot).is_some_and(|(from, upto)| from == first && last <= upto)
    };
    for range in leading.own.ranges() {
        laws.hold(range.0 > commit, "votes are kept only for what is not known to be chosen");
        laws.hold(accepted(*range), "one's own vote is for what one's own log holds");
    }
    for (first, last) in leading.noops.ranges() {
        let first = log.compacted().next().max(*first);
        laws.hold(
            first > *last || accepted((first, *last)),
            "a no-op that is proposed stands in one's own log",
        );
    }
    let mut newest = None;
    for (seq, first, last) in leading.writing() {
        laws.hold(newest <= Some(seq), "writes become durable in order");
        laws.hold(first <= last && last < leading.next, "only what is proposed is being written");
        newest = Some(seq);
    }
    for peer in &leading.peers {
        check_peer(paxos, leading, peer, laws);
    }
    check_recovery(paxos, leading, laws);
    if let Some(barrier) = leading.barrier() {
        laws.hold(barrier < leading.next, "own proposals lie behind the barrier");
        laws.hold(leading.next > commit, "a leader that serves has proposed all that is chosen");
        laws.hold(log.last() < leading.next, "no free slot holds anything of an earlier ballot");
        let next = leading.next;
        let promised = |voter| leading.recovery.has_promised(voter);
        laws.hold(
            next > leading.free_upto
                || next > commit.plus(paxos.window)
                || paxos.quorums.holds(Phase::One, paxos.configurations.at(next), promised),
            "a slot is free only by the promises of a quorum of those who decide about it",
        );
    }
    laws.0 += leading.reads.check(leading.barrier().unwrap_or_default());
}

fn check_recovery(paxos: &MultiPaxos, leading: &Leadership, laws: &mut Laws) {
    let (recovery, mut bytes) = (&leading.recovery, 0);
    for value in recovery.values() {
        bytes += value.record_len();
        laws.hold(value.generation < leading.ballot, "what was left is of a lower ballot");
    }
    laws.hold(bytes == recovery.bytes(), "every byte held is counted once");
    let promised = paxos.acceptor.unsynced().is_none();
    laws.hold(promised || !recovery.has_promised(paxos.node), "the own promise counts once it is durable");
}

fn check_peer(paxos: &MultiPaxos, leading: &Leadership, peer: &Peer, laws: &mut Laws) {
    laws.hold(peer.round <= leading.reads.newest(), "nobody confirms a read that has not begun");
    let (frames, before_newest) = peer.frames_under_way();
    laws.hold(frames <= paxos.limits.inflight_frames_max, "frames on their way keep to the limit");
    laws.hold(
        before_newest < paxos.limits.inflight_bytes_max,
        "bytes on their way keep to the limit, save for the last frame",
    );
    let (counted, kept) = peer.bytes_under_way();
    laws.hold(counted == kept, "every byte on its way is counted once");
    for (first, last) in peer.acked.ranges() {
        laws.hold(*first > paxos.commit, "votes are kept only for what is not known to be chosen");
        laws.hold(*last <= paxos.log.last(), "nobody accepts what was not proposed");
    }
}

/// Panics unless `after` may follow `before` in one step.
pub(super) fn check_step(before: &MultiPaxos, after: &MultiPaxos) -> u64 {
    let mut laws = Laws::default();
    let (promised, promised_after) = (before.acceptor.promised(), after.acceptor.promised());
    laws.hold(before.node == after.node, "nobody becomes another");
    laws.hold(promised <= promised_after, "promises only grow");
    laws.hold(before.commit <= after.commit, "what is chosen stays chosen");
    laws.hold(before.applied <= after.applied, "what is applied stays applied");
    laws.hold(before.log.compacted() <= after.log.compacted(), "what is compacted stays compacted");
    laws.hold(before.given_up <= after.given_up, "what is given up stays given up");
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
    if let (State::Proposing(old), State::Proposing(new)) = (&before.state, &after.state)
        && old.ballot == new.ballot
    {
        check_leading_step(old, new, &mut laws);
    }
    laws.0
}

fn ends_above(first: Index, last: Index, compacted: Index) -> impl Iterator<Item = Index> {
    [first.max(compacted.next()), last].into_iter().filter(move |_| last > compacted)
}

fn check_leading_step(old: &Leadership, new: &Leadership, laws: &mut Laws) {
    laws.hold(old.next <= new.next, "a slot is proposed in once per ballot");
    laws.hold(
        old.barrier().is_none() || old.barrier() == new.barrier(),
        "a ballot has one barrier, and phase 1 happens once",
    );
    laws.0 += ReadQueue::check_step(&old.reads, &new.reads);
    for peer in &old.peers {
        let later = new.peer(peer.id).map(|later| (later.commit, later.round));
        laws.hold(later.is_some() || peer.leaving.is_some(), "only who has left is forgotten");
        laws.hold(
            later.is_none_or(|later| later >= (peer.commit, peer.round)),
            "what a peer confirmed stays confirmed",
        );
    }
}

/// Panics unless these states of one cluster's members may exist together.
pub(super) fn check_cluster(members: &[&MultiPaxos]) -> u64 {
    let mut laws = Laws::default();
    for (at, one) in members.iter().enumerate() {
        for other in &members[at + 1..] {
            laws.hold(one.node != other.node, "every member has a number of its own");
            check_configurations(one, other, &mut laws);
        }
        let State::Proposing(leading) = &one.state else { continue };
        for member in members.iter().filter(|member| member.node != one.node) {
            check_votes(leading, member, &mut laws);
        }
        check_leader_among(one, leading, members, &mut laws);
    }
    laws.0
}

/// Two members that know equally much agree on who decides about every open slot; but who waits to be added knows nobody.
fn check_configurations(one: &MultiPaxos, other: &MultiPaxos, laws: &mut Laws) {
    let knows_nobody = |member: &MultiPaxos| member.configurations.newest().voters().is_empty();
    if one.commit != other.commit || knows_nobody(one) || knows_nobody(other) {
        return;
    }
    for slot in [one.commit.next(), one.commit.plus(one.window)] {
        let (these, those) = (one.configurations.at(slot).voters(), other.configurations.at(slot).voters());
        laws.hold(these == those, "whoever knows what is chosen knows who decides");
    }
}

fn check_votes(leading: &Leadership, member: &MultiPaxos, laws: &mut Laws) {
    let Some(peer) = leading.peer(member.node) else { return };
    for (first, last) in peer.acked.ranges() {
        let held = member.log.holds((*first, *last), leading.ballot);
        laws.hold(held, "what was acknowledged is held, at that ballot or a higher one");
    }
    let counted = leading.recovery.has_promised(member.node);
    laws.hold(
        !counted || member.acceptor.promised() >= leading.ballot,
        "whoever promised a ballot obeys none below it",
    );
    // A member that holds something of this ballot, or has heard it, got it from its one proposer.
    let beyond = member.log.of_ballot(leading.next, leading.ballot);
    laws.hold(beyond.is_none(), "nobody holds a value of a ballot that its proposer did not propose");
}

/// No ballot above the highest member's: then its proposer has seen all that may be chosen.
fn check_leader_among(leader: &MultiPaxos, leading: &Leadership, members: &[&MultiPaxos], laws: &mut Laws) {
    let highest = members.iter().all(|member| member.acceptor.promised() <= leading.ballot);
    if !highest || leading.barrier().is_none() {
        return;
    }
    for member in members {
        laws.hold(
            member.commit < leading.next,
            "a leader that serves has proposed, or learnt, all that is chosen",
        );
    }
    let slot = leader.commit;
    let membership = leader.configurations.at(slot);
    let complete = membership.members().all(|id| members.iter().any(|member| member.node == id));
    if complete && leading.barrier().is_some_and(|barrier| slot >= barrier) {
        let holds = |id| {
            let found = members.iter().find(|member| member.node == id);
            found.is_some_and(|member| {
                member.commit >= slot || member.log.ballot_at(slot) == Some(leading.ballot)
            })
        };
        laws.hold(leader.quorums.holds(Phase::Two, membership, holds), "a quorum holds what is chosen");
    }
}
