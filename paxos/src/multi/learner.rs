//! [`Learner`]: finding out what is chosen from whoever knows, and telling whoever asks.

use consensus_api::{After, Effects, Entry, Generation, Index, NodeId};

use super::{Body, Message, MultiPaxos, State};
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

impl Learner {
    /// Whether someone has lately said that the slot is chosen.
    pub(super) fn knows_of(&self, slot: Index) -> bool {
        self.target >= slot
    }
}

impl MultiPaxos {
    /// Another member knows that everything up to `commit` is chosen.
    ///
    /// A follower whose leader is heard waits for what is on its way; everyone else asks at once.
    pub(super) fn hear_commit(&mut self, from: NodeId, commit: Index, effects: &mut Effects<Message>) {
        if commit >= self.learner.target && from != self.node {
            self.learner.target = commit;
            self.learner.source = from;
        }
        let waits = matches!(&self.state, State::Following(following) if following.heard);
        if !waits && !self.learner.asked {
            self.ask(effects);
        }
    }

    /// Looked at with every heartbeat: if the chosen prefix has not moved since the last one, although more is chosen
    /// elsewhere, something got lost. Whoever was asked may itself have lost what it knew, in a crash: so what was heard is
    /// forgotten, and whoever still knows says so again.
    pub(super) fn catch_up(&mut self, effects: &mut Effects<Message>) {
        if let State::Following(following) = &self.state
            && following.announced >= self.learner.target
        {
            self.learner.target = following.announced;
            self.learner.source = self.acceptor.promised().node;
        }
        if self.learner.seen == self.commit {
            self.ask(effects);
            self.learner.target = self.commit;
        }
        self.learner.seen = self.commit;
    }

    /// Whoever was asked may be gone by now.
    pub(super) fn forget_who_was_asked(&mut self) {
        self.learner.asked = false;
    }

    fn ask(&mut self, effects: &mut Effects<Message>) {
        self.learner.asked = self.commit < self.learner.target;
        if self.learner.asked {
            let body = Body::Ask { from: self.commit.next() };
            effects.send(self.learner.source, After::Now, Message { ballot: self.acceptor.promised(), body });
        }
    }

    /// Someone lacks chosen entries. Any member answers, not only the leader; what is compacted comes as a snapshot.
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

    /// These entries are chosen. Taken as far as they continue the chosen prefix.
    ///
    /// They come with a ballot at or above the one that chose them. If the slot holds something of that ballot or a
    /// higher one, it holds the same value: every ballot above the choosing one proposes what was chosen.
    pub(super) fn on_learn(
        &mut self,
        from: NodeId,
        ballot: Generation,
        commit: Index,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        let sound = is_well_formed(entries)
            && entries.iter().all(|entry| entry.generation == ballot && entry.index <= commit);
        if !sound {
            return;
        }
        self.learner.asked = false;
        let before = self.commit;
        for entry in entries {
            if entry.index != self.commit.next() {
                continue;
            }
            if self.log.ballot_at(entry.index).is_none_or(|held| held < ballot) {
                // Whoever holds a value of a ballot has promised it. To a proposer of a lower one it says that it has
                // been succeeded.
                if ballot > self.acceptor.promised() {
                    self.promise(ballot, effects);
                }
                self.log.put(self.timers.now, entry.clone(), effects);
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

    /// What a member is told that asks for chosen entries from `from` on: a run of one ballot.
    pub(super) fn chosen_from(&self, from: Index) -> Option<(Generation, Index)> {
        let run = self.log.run_from(from).filter(|run| run.first <= from && from <= self.commit)?;
        Some((run.generation, run.last.min(self.commit)))
    }
}
