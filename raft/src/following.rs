//! The follower's side of replication: the consistency check, conflicts, acknowledgements (thesis, section 3.5).

use consensus_api::mutation::mutated;
use consensus_api::{After, Effects, Entry, EntryKind, Generation, Index, Membership, NodeId, ReadRound};

use crate::raft::Raft;
use crate::{Body, Message};

impl Raft {
    /// The leader of this term sends entries that follow `prev`, or asks whether the log agrees there.
    pub(crate) fn on_append(
        &mut self,
        from: NodeId,
        (prev, prev_generation): (Index, Generation),
        commit: Index,
        round: ReadRound,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        if !self.is_well_formed(prev, prev_generation, entries) {
            return; // no leader sends this, so it is answered as if it had not come
        }
        let here = self.log.generation_at(prev);
        if prev <= self.commit && here.is_some_and(|here| here != prev_generation) {
            self.contradicted(prev, effects);
            return;
        }
        // Up to the commit index every leader's log agrees with this one (leader completeness), compacted or not.
        if prev > self.commit && here != Some(prev_generation) {
            let (hint, hint_term) =
                self.log.last_within(prev.min(self.log.last()), crate::Term(prev_generation.round));
            self.send(from, Body::Rejected { prev, hint, hint_term, round }, effects);
            return;
        }
        if !self.take_entries(entries, effects) {
            return;
        }
        // Only what this message covers is claimed, never a tail of one's own behind it.
        let covered = prev.plus(entries.len() as u64);
        let own_tail = if mutated("raft/ack-of-the-own-tail") { self.log.last() } else { Index::ZERO };
        let matched = covered.max(self.commit).max(own_tail);
        let accepted = Message { term: self.term, body: Body::Accepted { matched, round } };
        let rests_on =
            if mutated("raft/ack-before-sync") { After::Now } else { After::Durable(effects.newest_write()) };
        effects.send(from, rests_on, accepted);
        let known = if mutated("raft/commit-of-a-stale-suffix") { self.log.last() } else { matched };
        self.commit_upto(commit.min(known), effects);
    }

    /// Appends what is new. `false` when the leader contradicts what is committed.
    fn take_entries(&mut self, entries: &[Entry], effects: &mut Effects<Message>) -> bool {
        let now = self.timers.now;
        let known = |entry: &&Entry| {
            let again = mutated("raft/old-append-truncates") && entry.index > self.commit;
            let agrees = self.log.agrees_at(entry.index, entry.generation)
                || (mutated("raft/conflict-kept") && entry.index <= self.log.last());
            entry.index <= self.log.compacted() || (agrees && !again)
        };
        let new = &entries[entries.iter().take_while(known).count()..];
        let Some(first) = new.first() else { return true };
        if first.index <= self.commit {
            self.contradicted(first.index, effects);
            return false;
        }
        // Only a conflict removes anything: an old message must not cut short what newer ones brought.
        if first.index <= self.log.last() {
            self.log.truncate_from(now, first.index, effects);
        }
        for entry in new {
            self.log.append(now, entry.clone(), effects);
        }
        self.refresh_membership(effects);
        true
    }

    /// The leader says that everything up to `commit` is committed. It counts if the log holds that very entry.
    pub(crate) fn learn_commit(
        &mut self,
        commit: Index,
        generation: Generation,
        effects: &mut Effects<Message>,
    ) {
        if self.log.agrees_at(commit, generation) {
            self.commit_upto(commit, effects);
        }
    }

    /// Whether a leader could have sent this: entries without a gap, their terms not falling, none beyond its own.
    fn is_well_formed(&self, prev: Index, prev_generation: Generation, entries: &[Entry]) -> bool {
        let (mut index, mut generation) = (prev, prev_generation);
        let follow = entries.iter().all(|entry| {
            let follows = entry.index.0.checked_sub(1) == Some(index.0)
                && (entry.generation == generation || entry.generation.round > generation.round);
            (index, generation) = (entry.index, entry.generation);
            follows && (entry.kind != EntryKind::Membership || Membership::decode(&entry.body).is_ok())
        });
        follow && generation.round <= self.term.0
    }

    fn contradicted(&self, index: Index, effects: &mut Effects<Message>) {
        let leader = self.leader.unwrap_or_default();
        effects.fatal = Some(format!(
            "the leader, node {leader}, has another entry {index} than the one committed here: a member's disk went \
             back in time, or two clusters share their ids"
        ));
    }
}
