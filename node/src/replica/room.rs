//! What a replica does while its disk is full: it proposes nothing new, and hands leadership on if the engine can.
//!
//! What was accepted before goes on: entries of another leader, votes, compactions. The storage keeps room for these.

use consensus_api::{Engine, Error, Event, ProposalId, Role, Time};

use super::Replica;

/// Whether the log has room for more entries.
#[derive(Debug)]
pub(super) struct Room {
    is_full: bool,
    /// When leadership is next offered to another member.
    offer_at: Time,
}

impl Room {
    pub(super) const fn new() -> Self {
        Self { is_full: false, offer_at: Time::ZERO }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// The log has room for more entries, or has none, until this is called again. While it has none, whatever is not
    /// yet in the log ends as [`Error::StorageFull`]: it did not happen.
    pub fn set_room(&mut self, has_room: bool) {
        if self.room.is_full == has_room {
            self.room.is_full = !has_room;
            self.room.offer_at = Time::ZERO;
            let note = if has_room {
                "the disk has room again: requests are taken"
            } else {
                "the disk is full: no request is taken until there is room again"
            };
            self.note(note.to_owned());
        }
    }

    /// Refuses what is queued, and offers leadership to others now and then.
    pub(super) fn give_way(&mut self, now: Time) {
        if !self.room.is_full {
            return;
        }
        self.proposals.fail_queued(&Error::StorageFull, &mut self.out.failed);
        let leads = self.standing.role == Role::Leader;
        if leads && E::CAPABILITIES.leadership_transfer && now >= self.room.offer_at {
            self.room.offer_at = now + self.options.timing.election_timeout_max;
            // Sequence 0 is never a proposal's: nobody waits for the answer.
            let (node, incarnation) = (self.identity.node, self.identity.incarnation);
            let proposal = ProposalId { node, incarnation, sequence: 0 };
            self.step(now, Event::TransferLeadership { proposal, to: None });
        }
    }

    /// When [`give_way`](Self::give_way) is next wanted.
    pub(super) fn next_offer(&self) -> Time {
        let offers =
            self.room.is_full && E::CAPABILITIES.leadership_transfer && self.standing.role == Role::Leader;
        if offers { self.room.offer_at } else { Time::MAX }
    }
}
