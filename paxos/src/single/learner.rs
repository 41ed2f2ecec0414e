//! The learner's part: to find out what is chosen, from its proposer or from whoever knows, and to tell whoever asks.

use consensus_api::{After, Effects, Entry, Generation, Index, NodeId};

use super::acceptor::is_placed;
use super::{Body, Message, Paxos, Won};
use crate::log::is_well_formed;

/// How far slots are chosen elsewhere, and who said so.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Learner {
    /// Everything up to here is chosen.
    target: Index,
    /// Who knows.
    source: NodeId,
    /// Someone was asked, and has not answered.
    asked: bool,
    /// The chosen prefix when it was last looked at.
    seen: Index,
}

impl Paxos {
    /// A quorum has accepted what this ballot proposed in these slots: its proposer says so. Whoever holds a value of this
    /// ballot there, or of a higher one, holds what was chosen: every ballot above the choosing one proposes the same
    /// (Lamport 2001, section 2.2, P2b).
    pub(super) fn on_chosen(
        &mut self,
        from: NodeId,
        ballot: Generation,
        won: Won,
        effects: &mut Effects<Message>,
    ) {
        if ballot.node != from || won.first > won.last || won.last == Index(u64::MAX) {
            return;
        }
        while self.commit < won.last
            && self.commit.next() >= won.first
            && self.log.ballot_at(self.commit.next()) >= Some(ballot)
        {
            self.commit_upto(self.commit.next(), effects);
        }
        self.hear_commit(from, won.last, effects);
    }

    /// Another member knows that everything up to `commit` is chosen. Whoever has something to do in the first open slot
    /// asks at once; all others wait for what is on its way.
    pub(super) fn hear_commit(&mut self, from: NodeId, commit: Index, effects: &mut Effects<Message>) {
        if commit > self.commit && commit >= self.learner.target {
            self.learner.target = commit;
            self.learner.source = from;
        }
        let waits = self.wanted.is_some() || self.attempt.is_some() || !self.reads.is_empty();
        if waits && !self.learner.asked {
            self.ask(effects);
        }
    }

    /// Looked at regularly: if the chosen prefix has not moved since the last time, although more is chosen elsewhere,
    /// something got lost. Whoever was asked may itself have lost what it knew, in a crash: so what was heard is forgotten,
    /// and whoever still knows says so again.
    pub(super) fn catch_up(&mut self, effects: &mut Effects<Message>) {
        self.learner.asked = false;
        if self.learner.seen == self.commit {
            self.ask(effects);
            self.learner.target = self.commit;
        }
        self.learner.seen = self.commit;
    }

    fn ask(&mut self, effects: &mut Effects<Message>) {
        self.learner.asked = self.commit < self.learner.target;
        if self.learner.asked {
            let body = Body::Ask { from: self.commit.next() };
            effects.send(self.learner.source, After::Now, Message { ballot: super::NO_BALLOT, body });
        }
    }

    /// Someone lacks chosen entries. What is compacted comes as a snapshot.
    pub(super) fn on_ask(&mut self, from: NodeId, slot: Index, effects: &mut Effects<Message>) {
        if slot > self.commit || slot == Index::ZERO {
            return;
        }
        if slot <= self.log.compacted() {
            effects.snapshots_needed.push(from);
        } else {
            self.supply(from).chosen(slot);
        }
    }

    /// These entries are chosen. Taken as far as they continue the chosen prefix; they come with a ballot at or above the
    /// one that chose them.
    pub(super) fn on_learn(
        &mut self,
        from: NodeId,
        ballot: Generation,
        commit: Index,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        let sound = is_well_formed(entries)
            && entries.iter().all(|it| it.generation == ballot && it.index <= commit && is_placed(it));
        if !sound {
            return;
        }
        self.learner.asked = false;
        let before = self.commit;
        for entry in entries {
            if entry.index != self.commit.next() {
                continue;
            }
            self.names.insert(entry.index, entry.proposal);
            if self.log.ballot_at(entry.index).is_none_or(|held| held < ballot) {
                self.promise(ballot, effects); // whoever holds a value of a ballot has promised it
                self.accept(entry.clone(), effects);
            }
            self.commit_upto(entry.index, effects);
        }
        if commit > self.learner.target {
            self.learner.target = commit;
            self.learner.source = from;
        }
        if self.commit > before {
            self.ask(effects);
        }
    }

    /// Everything up to `index` is chosen, and in the log or in a snapshot. A value that this member wants chosen and that
    /// is, is wanted no more. Until here it was proposed in no other slot: a rival may have taken it up.
    pub(super) fn commit_upto(&mut self, index: Index, effects: &mut Effects<Message>) {
        if index <= self.commit {
            return;
        }
        let open = self.names.split_off(&index.next());
        let chosen = std::mem::replace(&mut self.names, open);
        if self.wanted.as_ref().is_some_and(|wanted| chosen.values().any(|name| *name == wanted.proposal)) {
            self.wanted = None;
        }
        self.commit = index;
        effects.commit(index);
        if self.attempt.as_ref().is_some_and(|attempt| attempt.slot <= index) {
            self.attempt = None;
        }
        self.timers.finish = consensus_api::Time::MAX;
    }

    /// Tells how far this member has come.
    pub(super) fn tell_status(&self, to: NodeId, effects: &mut Effects<Message>) {
        let body = Body::Status { commit: self.commit };
        effects.send(to, After::Now, Message { ballot: super::NO_BALLOT, body });
    }

    /// Tells everyone, and looks whether something got lost.
    pub(super) fn gossip(&mut self, effects: &mut Effects<Message>) {
        self.timers.gossip = self.timers.now + self.timers.timing.heartbeat;
        self.catch_up(effects);
        for member in self.others() {
            self.tell_status(member, effects);
        }
    }
}
