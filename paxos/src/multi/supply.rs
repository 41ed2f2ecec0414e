//! [`Supply`]: entries that another member has asked for, or a leader pushes. One range per member is on its way out of
//! the log at a time: it may have to be read from disk first.

use consensus_api::{Effects, EntryRange, Generation, Index, NodeId};

use super::{Body, Message, MultiPaxos};

/// What one member is to be sent.
#[derive(Clone, Hash, Debug)]
pub(super) struct Supply {
    pub(super) to: NodeId,
    /// A report of what was accepted, to the proposer of this ballot, from this slot on.
    report: Option<(Generation, Index)>,
    /// Chosen entries, from this slot on.
    chosen: Option<Index>,
    /// A range was named, and it is not yet known whether it went out.
    filling: Option<Filling>,
}

/// What a range was named for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Filling {
    Report,
    Chosen,
    Accept,
}

impl Supply {
    pub(super) fn report(&mut self, ballot: Generation, from: Index) {
        self.report = Some((ballot, from));
    }

    pub(super) fn chosen(&mut self, from: Index) {
        self.chosen = Some(from);
    }

    /// Whether no range is being filled.
    pub(super) const fn is_idle(&self) -> bool {
        self.filling.is_none()
    }

    /// A range of a leader's own entries was named.
    pub(super) const fn begin_accept(&mut self) {
        self.filling = Some(Filling::Accept);
    }
}

impl MultiPaxos {
    /// What this member is to be sent; of itself, a proposer asks for its own report.
    pub(super) fn supply(&mut self, to: NodeId) -> &mut Supply {
        let at = self.supplies.partition_point(|supply| supply.to < to);
        if self.supplies.get(at).is_none_or(|supply| supply.to != to) {
            self.supplies.insert(at, Supply { to, report: None, chosen: None, filling: None });
        }
        &mut self.supplies[at]
    }

    /// Entries that were asked for went out.
    pub(super) fn on_sent(&mut self, to: NodeId, first: Index, last: Index, bytes: usize) {
        let supply = self.supply(to);
        match supply.filling.take() {
            Some(Filling::Report) => supply.report = None,
            Some(Filling::Chosen) => supply.chosen = None,
            Some(Filling::Accept) => {
                if let Some(peer) = self.peer_mut(to) {
                    peer.sent(first, last, bytes);
                }
            }
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
                let filling = self.supply_report(at, effects).or_else(|| self.supply_chosen(at, effects));
                self.supplies[at].filling = filling;
            }
        }
    }

    fn supply_report(&mut self, at: usize, effects: &mut Effects<Message>) -> Option<Filling> {
        let (to, report) = (self.supplies[at].to, self.supplies[at].report);
        let (ballot, from) = report?;
        let part = self.report(from);
        let nothing_left = part.accepted == Generation::ZERO;
        if ballot != self.acceptor.promised() || self.acceptor.unsynced().is_some() || nothing_left {
            self.supplies[at].report = None; // whoever still wants it asks again
            return None;
        }
        let bytes_max = self.limits.frame_bytes_max;
        let range = EntryRange { first: part.from, last: part.upto, bytes_max };
        effects.send_entries(to, self.promise_message(ballot, part), range);
        Some(Filling::Report)
    }

    fn supply_chosen(&mut self, at: usize, effects: &mut Effects<Message>) -> Option<Filling> {
        let (to, chosen) = (self.supplies[at].to, self.supplies[at].chosen);
        let first = chosen?;
        let Some((ballot, last)) = self.chosen_from(first) else {
            self.supplies[at].chosen = None;
            return None;
        };
        let message = Message { ballot, body: Body::Learn { commit: self.commit } };
        effects.send_entries(to, message, EntryRange { first, last, bytes_max: self.limits.frame_bytes_max });
        Some(Filling::Chosen)
    }
}
