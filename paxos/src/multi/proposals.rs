//! Proposals of clients: taken in the order they come, and put into slots as far as the window reaches.

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Entry, EntryKind, Index, Outcome, Refusal};

use super::proposer::Leadership;
use super::{Message, MultiPaxos, State};

impl MultiPaxos {
    /// Takes an entry into the next slot.
    pub(super) fn on_propose(&mut self, entry: Entry, effects: &mut Effects<Message>) {
        let (proposal, ballot) = (entry.proposal, self.acceptor.promised());
        let outcome = match &mut self.state {
            State::Proposing(leading) if leading.barrier().is_some() && leading.transfer.is_none() => {
                if entry.kind == EntryKind::Membership {
                    Outcome::Refused(Refusal::Invalid("a membership is changed by asking for the change"))
                } else {
                    leading.queue.push_back(entry);
                    self.propose_queued(effects);
                    Outcome::Accepted(ballot)
                }
            }
            _ => Outcome::Refused(Refusal::NotLeader), // whoever hands over takes nothing more
        };
        effects.proposals.push((proposal, outcome));
    }

    /// Proposes what was taken, in the order it came, as far as there are free slots in the window. What has to wait, for the
    /// window or behind a membership, is not refused: others of the same member, sent right behind, would overtake it.
    pub(super) fn propose_queued(&mut self, effects: &mut Effects<Message>) {
        while let State::Proposing(leading) = &self.state
            && leading.membership.is_none()
            && leading.next <= leading.free_upto
            && self.is_in_window(leading.next)
            && let State::Proposing(leading) = &mut self.state
            && let Some(entry) = leading.queue.pop_front()
        {
            self.propose(entry, effects);
        }
    }

    /// Whether a new value may go into the next slot. It must be free, and within the window: further up it is not known yet
    /// who decides. And whoever hands over takes nothing more.
    pub(super) fn may_propose(&self, leading: &Leadership) -> bool {
        let is_next = leading.queue.is_empty() && leading.membership.is_none();
        is_next
            && leading.transfer.is_none()
            && leading.next <= leading.free_upto
            && self.is_in_window(leading.next)
    }

    pub(super) fn is_in_window(&self, slot: Index) -> bool {
        slot.since(self.commit) <= self.window || mutated("paxos/beyond-the-window")
    }
}
