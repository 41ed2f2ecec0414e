//! [`Supply`]: entries that another member is to be sent. One range per member is on its way out of the log at a time: it
//! may have to be read from disk first.

use consensus_api::{Effects, EntryRange, Generation, Index, NodeId};

use super::proposer::Stage;
use super::{Body, Message, Paxos};

/// What one member is to be sent.
#[derive(Clone, Hash, Debug)]
pub(super) struct Supply {
    pub(super) to: NodeId,
    /// What the own attempt proposes.
    accept: bool,
    /// The value accepted in a slot at a ballot, for the proposer of a ballot.
    value: Option<(Generation, Index, Generation)>,
    /// Chosen entries, from this slot on.
    chosen: Option<Index>,
    /// A range was named, and it is not yet known whether it went out.
    filling: Option<Filling>,
}

/// What a range was named for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Filling {
    Accept,
    Value,
    Chosen,
}

impl Supply {
    pub(super) fn accept(&mut self) {
        self.accept = true;
    }

    /// The proposer of `ballot` wants what was accepted in `slot` at `accepted`.
    pub(super) fn value(&mut self, ballot: Generation, slot: Index, accepted: Generation) {
        self.value = Some((ballot, slot, accepted));
    }

    pub(super) fn chosen(&mut self, from: Index) {
        self.chosen = Some(from);
    }
}

impl Paxos {
    pub(super) fn supply(&mut self, to: NodeId) -> &mut Supply {
        let at = self.supplies.partition_point(|supply| supply.to < to);
        if self.supplies.get(at).is_none_or(|supply| supply.to != to) {
            self.supplies.insert(at, Supply { to, accept: false, value: None, chosen: None, filling: None });
        }
        &mut self.supplies[at]
    }

    /// Entries that were asked for went out.
    pub(super) fn on_sent(&mut self, to: NodeId) {
        let supply = self.supply(to);
        match supply.filling.take() {
            Some(Filling::Accept) => supply.accept = false,
            Some(Filling::Value) => supply.value = None,
            Some(Filling::Chosen) => supply.chosen = None,
            None => {}
        }
    }

    /// Entries that were asked for can be had now: the end of this step asks again, if they are still wanted.
    pub(super) fn on_loaded(&mut self, to: NodeId) {
        self.supply(to).filling = None;
    }

    /// Names the ranges that others wait for.
    pub(super) fn supply_what_is_wanted(&mut self, effects: &mut Effects<Message>) {
        for at in 0..self.supplies.len() {
            if self.supplies[at].filling.is_none() {
                let filling = self.supply_accept(at, effects);
                let filling = filling.or_else(|| self.supply_value(at, effects));
                self.supplies[at].filling = filling.or_else(|| self.supply_chosen(at, effects));
            }
        }
    }

    fn supply_accept(&mut self, at: usize, effects: &mut Effects<Message>) -> Option<Filling> {
        let Supply { to, accept, .. } = self.supplies[at];
        let proposed = self.attempt.as_ref().filter(
            |attempt| matches!(&attempt.stage, Stage::Accepting(accepting) if !accepting.acks.contains(&to)),
        );
        let Some(attempt) = proposed.filter(|_| accept) else {
            self.supplies[at].accept = false;
            return None;
        };
        let message =
            Message { ballot: attempt.ballot, body: Body::Accept { won: self.won_at(attempt.ballot) } };
        effects.send_entries(to, message, self.range(attempt.slot, attempt.slot));
        Some(Filling::Accept)
    }

    fn supply_value(&mut self, at: usize, effects: &mut Effects<Message>) -> Option<Filling> {
        let Supply { to, value, .. } = self.supplies[at];
        let (ballot, slot, accepted) = value?;
        if self.log.ballot_at(slot) != Some(accepted) {
            self.supplies[at].value = None; // a higher ballot took its place, or the slot is compacted
            return None;
        }
        let message = Message { ballot, body: Body::Value { slot } };
        effects.send_entries(to, message, self.range(slot, slot));
        Some(Filling::Value)
    }

    fn supply_chosen(&mut self, at: usize, effects: &mut Effects<Message>) -> Option<Filling> {
        let Supply { to, chosen, .. } = self.supplies[at];
        let first = chosen?;
        let run = self.log.run_from(first).filter(|run| run.first <= first && first <= self.commit);
        let Some(run) = run else {
            self.supplies[at].chosen = None;
            return None;
        };
        let message = Message { ballot: run.generation, body: Body::Learn { commit: self.commit } };
        effects.send_entries(to, message, self.range(first, run.last.min(self.commit)));
        Some(Filling::Chosen)
    }

    const fn range(&self, first: Index, last: Index) -> EntryRange {
        EntryRange { first, last, bytes_max: self.limits.frame_bytes_max }
    }
}
