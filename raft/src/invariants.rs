//! The laws of Raft as asserts, in three forms: of one state, of one step, of a whole cluster. The five safety
//! properties are those of the thesis' figure 3.2.

use consensus_api::{Engine, Generation, Index, Membership, NodeId, ReadQueue};

use crate::log::Log;
use crate::membership;
use crate::progress::Peer;
use crate::raft::{Leadership, Raft, State};

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
pub(crate) fn check(raft: &Raft) -> u64 {
    let mut laws = Laws::default();
    check_bounds(raft, &mut laws);
    check_log(&raft.log, &mut laws);
    laws.hold(raft.log.last_term() <= raft.term, "no entry is of a term that has not begun");
    laws.hold(raft.settled.round <= raft.term.0, "only past terms are settled");
    let in_force = membership::in_force(&raft.log, &raft.founders);
    laws.hold(in_force.as_ref() == Ok(&raft.membership), "the newest membership of the log is in force");
    check_memberships(&raft.log, &mut laws);
    match &raft.state {
        State::Follower { following } => {
            laws.hold(!following || raft.leader.is_some(), "who follows knows whom");
            laws.hold(!following || raft.leader != Some(raft.node), "nobody follows themselves");
        }
        State::PreCandidate(tally) => {
            laws.hold(tally.own_vote.is_none(), "a pre-vote writes nothing");
        }
        State::Candidate(tally) => {
            laws.hold(raft.vote == Some(raft.node), "a candidate votes for itself");
            laws.hold(raft.leader.is_none(), "who stands for election knows no leader of the term");
            let counted = tally.granted.contains(&raft.node);
            laws.hold(tally.own_vote.is_none() || !counted, "the own vote counts only once it is durable");
        }
        State::Leader(leading) => check_leader(raft, leading, &mut laws),
    }
    laws.0
}

fn check_bounds(raft: &Raft, laws: &mut Laws) {
    let log = &raft.log;
    laws.hold(log.compacted() <= log.snapshot_index(), "only what a snapshot covers is compacted");
    laws.hold(log.snapshot_index() <= raft.commit, "only what is committed is in a snapshot");
    laws.hold(raft.applied <= raft.commit, "only what is committed is applied");
    laws.hold(raft.commit <= log.last(), "only what is in the log is committed");
    laws.hold(raft.watermark <= raft.commit, "the watermark speaks of committed entries");
    laws.hold(log.durable() <= log.last(), "only what is in the log is durable");
}

fn check_log(log: &Log, laws: &mut Laws) {
    let mut next = log.compacted().next();
    let mut before = log.generation_at(log.compacted()).unwrap_or_default();
    for run in log.runs() {
        laws.hold(run.first == next, "the log has no holes");
        laws.hold(run.last >= run.first, "runs are not empty");
        let goes_on = run.generation == before && run.first == log.compacted().next();
        laws.hold(
            run.generation.round > before.round || goes_on,
            "terms never fall along the log, and each has one leader",
        );
        (next, before) = (run.last.next(), run.generation);
    }
    let mut newest = None;
    for (seq, last) in log.pending() {
        laws.hold(newest < Some(seq), "writes become durable in order");
        laws.hold(last <= log.last(), "a write covers no more than the log");
        newest = Some(seq);
    }
}

/// Along a log every change of voters passes through a joint membership of the old ones and the new ones (thesis,
/// section 4.3).
fn check_memberships(log: &Log, laws: &mut Laws) {
    let snapshot = log.snapshot().map(|mark| (mark.index, mark.membership.clone()));
    let entries = log.memberships().iter();
    let known = entries.filter_map(|entry| Some((entry.index, Membership::decode(&entry.body).ok()?)));
    let mut before: Option<Membership> = None;
    for (index, next) in known {
        let start = snapshot.as_ref().filter(|(at, _)| before.is_none() && *at < index);
        let before_it = before.take().or_else(|| start.map(|(_, membership)| membership.clone()));
        // A member that waited to be added begins with nobody.
        if let Some(old) = before_it.filter(|old| !old.voters().is_empty()) {
            let follows = if next.is_joint() {
                !old.is_joint() && next.outgoing() == old.voters()
            } else {
                next.voters() == old.voters()
            };
            laws.hold(follows, "voters change by a joint membership of the old ones and the new ones");
        }
        before = Some(next);
    }
}

fn check_leader(raft: &Raft, leading: &Leadership, laws: &mut Laws) {
    let (log, own) = (&raft.log, raft.generation());
    laws.hold(raft.leader == Some(raft.node), "a leader knows that it leads");
    laws.hold(raft.vote == Some(raft.node), "a leader voted for itself");
    let start = log.generation_at(leading.start).or_else(|| log.generation_at(log.compacted()));
    laws.hold(start == Some(own), "a leader's term begins with an entry of its own");
    laws.hold(log.last_generation() == own, "a leader's last entry is its own");
    let mut others: Vec<_> = raft.membership.members().filter(|member| *member != raft.node).collect();
    others.sort_unstable();
    let members = leading.peers.iter().filter(|peer| peer.leaving.is_none()).map(|peer| peer.id);
    laws.hold(members.eq(others), "a leader sends to every other member");
    let open = log.memberships().iter().filter(|entry| entry.index > raft.commit).count();
    laws.hold(raft.commit < leading.start || open <= 1, "at most one membership is not committed");
    for peer in &leading.peers {
        check_peer(raft, peer, laws);
        laws.hold(peer.round <= leading.reads.newest(), "nobody confirms a read that has not begun");
    }
    let reads = &leading.reads;
    laws.hold(
        leading.peers.iter().all(|peer| peer.asked <= reads.newest()),
        "nobody is asked about later reads",
    );
    laws.0 += reads.check(leading.start);
}

fn check_peer(raft: &Raft, peer: &Peer, laws: &mut Laws) {
    laws.hold(peer.matched < peer.next, "what is matched is not sent again");
    laws.hold(peer.next <= raft.log.last().next(), "only what is in the log is sent");
    let Some(window) = peer.window() else { return };
    let limits = &raft.limits;
    laws.hold(window.len() <= limits.inflight_frames_max, "frames on their way keep to the limit");
    let (mut last, mut bytes, mut newest) = (peer.matched, 0, 0);
    for (frame_last, frame_bytes) in window.frames() {
        laws.hold(frame_last > last, "frames on their way are not acknowledged, and in order");
        (last, bytes, newest) = (frame_last, bytes + frame_bytes, frame_bytes);
    }
    laws.hold(bytes == window.bytes(), "every byte on its way is counted once");
    let before_newest = bytes - newest;
    laws.hold(
        bytes == 0 || before_newest < limits.inflight_bytes_max,
        "bytes on their way keep to the limit, save for the last frame",
    );
    laws.hold(last.next() == peer.next, "what is sent is matched or on its way");
}

/// Panics unless `after` may follow `before` in one step.
pub(crate) fn check_step(before: &Raft, after: &Raft) -> u64 {
    let mut laws = Laws::default();
    laws.hold(before.node == after.node, "nobody becomes another");
    laws.hold(before.term <= after.term, "terms only grow");
    laws.hold(before.commit <= after.commit, "what is committed stays committed");
    laws.hold(before.applied <= after.applied, "what is applied stays applied");
    laws.hold(before.log.compacted() <= after.log.compacted(), "what is compacted stays compacted");
    laws.hold(before.settled <= after.settled, "what is settled stays settled");
    laws.hold(
        agree_up_to(&before.log, &after.log, before.commit),
        "a committed entry never changes (state machine safety)",
    );
    if before.term == after.term {
        let voted = before.vote.is_none() || before.vote == after.vote;
        laws.hold(voted, "at most one vote per term");
        let led = before.leader.is_none() || before.leader == after.leader;
        laws.hold(led, "at most one leader per term (election safety)");
        laws.hold(
            !matches!(before.state, State::Leader(_)) || !matches!(after.state, State::PreCandidate(_)),
            "a leader steps down before it stands for election",
        );
        if let (State::Leader(old), State::Leader(new)) = (&before.state, &after.state) {
            check_leading_step(before, old, after, new, &mut laws);
        }
    } else {
        laws.hold(
            !matches!(after.state, State::Leader(_)),
            "nobody leads a term before their vote in it is durable",
        );
    }
    laws.0
}

fn check_leading_step(before: &Raft, old: &Leadership, after: &Raft, new: &Leadership, laws: &mut Laws) {
    let last = before.log.last();
    laws.hold(last <= after.log.last(), "a leader never truncates its log (leader append-only)");
    laws.hold(
        agree_up_to(&before.log, &after.log, last),
        "a leader never overwrites its log (leader append-only)",
    );
    laws.hold(old.start == new.start, "a term begins once");
    laws.0 += ReadQueue::check_step(&old.reads, &new.reads);
    let handing_over = old.transfer.is_some() && new.transfer.is_some();
    laws.hold(!handing_over || last == after.log.last(), "who hands over takes nothing more into the log");
    for peer in &old.peers {
        let Some(later) = new.peer(peer.id) else { continue };
        if peer.leaving.is_some() && later.leaving.is_none() {
            continue; // it was added again, and begins anew
        }
        laws.hold(peer.matched <= later.matched, "what a peer acknowledged stays acknowledged");
        laws.hold(peer.round <= later.round, "what a peer confirmed stays confirmed");
    }
    if after.commit > before.commit {
        let own = after.log.generation_at(after.commit) == Some(after.generation());
        laws.hold(own, "a leader commits by counting entries of its own term only");
    }
}

/// Panics unless these states of one cluster's members may exist together.
pub(crate) fn check_cluster(members: &[&Raft]) -> u64 {
    let mut laws = Laws::default();
    for (at, one) in members.iter().enumerate() {
        for other in &members[at + 1..] {
            laws.hold(one.node != other.node, "every member has a number of its own");
            laws.hold(
                one.term != other.term
                    || one.leader.is_none()
                    || other.leader.is_none()
                    || one.leader == other.leader,
                "at most one leader per term (election safety)",
            );
            laws.hold(
                match_below_agreement(&one.log, &other.log),
                "logs that agree on an entry agree on all before it (log matching)",
            );
            laws.hold(
                agree_up_to(&one.log, &other.log, one.commit.min(other.commit)),
                "members agree on what is committed (state machine safety)",
            );
        }
        if let State::Leader(leading) = &one.state {
            check_leader_among(one, leading, members, &mut laws);
        }
    }
    laws.0
}

fn check_leader_among(leader: &Raft, leading: &Leadership, members: &[&Raft], laws: &mut Laws) {
    for member in members.iter().filter(|member| member.node != leader.node) {
        // What a member knows to be committed was committed in its own term at the latest.
        if member.term <= leader.term {
            laws.hold(
                leader.log.last() >= member.commit && agree_up_to(&leader.log, &member.log, member.commit),
                "a leader has every entry that was committed before its term (leader completeness)",
            );
        }
        if let Some(peer) = leading.peer(member.node).filter(|_| member.term == leader.term) {
            laws.hold(
                peer.matched <= member.log.durable().max(member.log.compacted()),
                "what a peer acknowledged is durable there",
            );
            laws.hold(
                agree_up_to(&leader.log, &member.log, peer.matched),
                "what a peer acknowledged is the leader's",
            );
        }
    }
    let newest = members.iter().all(|member| member.term <= leader.term);
    let complete = leader.membership().members().all(|id| members.iter().any(|member| member.node == id));
    if newest && complete && leader.commit >= leading.start {
        let holds = |id: NodeId| {
            let holder = members.iter().find(|member| member.node == id);
            holder.is_some_and(|member| {
                member.log.durable().max(member.log.compacted()) >= leader.commit
                    && agree_up_to(&leader.log, &member.log, leader.commit)
            })
        };
        // A membership that is not committed may have come into force since.
        let held = leader.membership().quorum_holds(holds)
            || membership::as_of(&leader.log, &leader.founders, leader.commit)
                .is_ok_and(|membership| membership.quorum_holds(holds));
        laws.hold(held, "a quorum holds durably what is committed");
    }
}

/// Whether two logs have the same entries up to `upto`, as far as both still know them.
fn agree_up_to(one: &Log, other: &Log, upto: Index) -> bool {
    let from = one.compacted().max(other.compacted());
    let upto = upto.min(one.last()).min(other.last());
    steps(one, other, from, upto).all(|(_, one, other)| one == other)
}

/// Whether two logs agree everywhere below the highest entry they agree on.
fn match_below_agreement(one: &Log, other: &Log) -> bool {
    let from = one.compacted().max(other.compacted());
    let upto = one.last().min(other.last());
    let mut apart = false;
    steps(one, other, from, upto).all(|(_, one, other)| {
        apart |= one != other;
        !apart || one != other
    })
}

/// The generations of both logs, at `from` and wherever one of them changes up to `upto`.
fn steps<'a>(
    one: &'a Log,
    other: &'a Log,
    from: Index,
    upto: Index,
) -> impl Iterator<Item = (Index, Option<Generation>, Option<Generation>)> + 'a {
    let starts = |log: &'a Log| log.runs().iter().map(|run| run.first);
    let mut at: Vec<Index> = starts(one).chain(starts(other)).filter(|start| *start > from).collect();
    at.push(from);
    at.sort_unstable();
    at.dedup();
    at.into_iter()
        .filter(move |index| *index <= upto)
        .map(|index| (index, one.generation_at(index), other.generation_at(index)))
}
