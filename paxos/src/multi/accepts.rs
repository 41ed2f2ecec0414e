//! What a leader proposes, on its way to the others: entries out of its log, and long ranges of no-ops by their ends alone.

use consensus_api::mutation::mutated;
use consensus_api::record::HEADER_BYTES;
use consensus_api::{After, Effects, EntryRange, FlowLimits};

use super::messages::NOOPS_MAX;
use super::proposer::Leadership;
use super::{Body, Message, MultiPaxos, State};

/// So many no-ops in a row go as a range. Fewer go as the entries they are, with those around them: else holes that
/// alternate with values would make many small frames, of which only a few may be on their way.
const NOOPS_MIN: u64 = 64;

impl MultiPaxos {
    /// The end of every step: whatever anyone waits for, and a leader's proposals as far as windows allow.
    pub(super) fn send_what_is_due(&mut self, effects: &mut Effects<Message>) {
        if matches!(&self.state, State::Proposing(leading) if leading.reads.is_round_due()) {
            self.send_heartbeats(effects);
        }
        self.pull_reports(effects);
        self.propose_what_is_left(effects); // with the own report, which needs no message
        self.supply_what_is_wanted(effects);
        // Without promises the ballot may not even be durable here, and must not be heard of.
        if self.has_promises() {
            self.send_accepts(effects);
        }
    }

    fn send_accepts(&mut self, effects: &mut Effects<Message>) {
        let Self { state: State::Proposing(leading), log, limits, .. } = self else { return };
        let tidings = leading.tidings(self.commit, self.window);
        let end = self.commit.plus(self.window);
        let Leadership { ballot, peers, noops, .. } = &mut **leading;
        for peer in peers {
            let at = self.supplies.partition_point(|supply| supply.to < peer.id);
            let mut supply = self.supplies.get_mut(at).filter(|supply| supply.to == peer.id);
            while peer.may_send(limits)
                && let Some(supply) = supply.as_mut().filter(|supply| supply.is_idle())
                && let Some((first, last)) = peer.due(log, *ballot).filter(|(first, _)| *first <= end)
            {
                let last = last.min(end);
                let (cut, are_noops) = noops.cut((first, last), NOOPS_MIN);
                if are_noops {
                    let last = if mutated("paxos/noops-over-values") { last } else { cut };
                    let last = last.min(first.plus(slots_max(limits) - 1));
                    let body = Body::AcceptNoops { tidings, first, last };
                    effects.send(peer.id, After::Now, Message { ballot: *ballot, body });
                    // It makes entries of them, and that is what its share is counted in.
                    peer.sent(first, last, last.next().since(first) as usize * HEADER_BYTES);
                } else {
                    supply.begin_accept();
                    let message = Message { ballot: *ballot, body: Body::Accept(tidings) };
                    let range = EntryRange { first, last: cut, bytes_max: limits.frame_bytes_max };
                    effects.send_entries(peer.id, message, range);
                }
                peer.commit_told = tidings.commit;
            }
            if tidings.commit > peer.commit_told {
                peer.commit_told = tidings.commit;
                let message = Message { ballot: *ballot, body: Body::Commit(tidings) };
                effects.send(peer.id, After::Now, message);
            }
        }
    }
}

/// How many no-ops make a frame.
fn slots_max(limits: &FlowLimits) -> u64 {
    ((limits.frame_bytes_max / HEADER_BYTES) as u64).clamp(1, NOOPS_MAX)
}
