//! Snapshots: what one's own makes of the log, and what another member's does. The node carries them over.

use consensus_api::{Effects, Index, SnapshotMark};

use super::{Message, Paxos};

impl Paxos {
    /// This member has a snapshot of its own: what it covers may go.
    pub(super) fn on_snapshot_taken(
        &mut self,
        mark: SnapshotMark,
        keep_from: Index,
        effects: &mut Effects<Message>,
    ) {
        assert!(mark.index <= self.commit, "only what is applied is in a snapshot");
        if mark.index > self.log.snapshot_index() {
            let upto = keep_from.prev().min(mark.index);
            self.log.compact(self.timers.now, mark, upto, effects);
        }
    }

    /// Another member's snapshot is here, durable. It takes the place of the log up to its index, and of nothing else: the
    /// promise stands, and so does what was accepted above.
    ///
    /// Whether the value this member wants to have chosen is in it, nobody can tell: so it is not proposed again. The node
    /// ends what waits for it as unknown.
    pub(super) fn on_snapshot_received(&mut self, mark: SnapshotMark, effects: &mut Effects<Message>) {
        if mark.index <= self.commit {
            return;
        }
        let index = mark.index;
        self.log.compact(self.timers.now, mark.clone(), index, effects);
        effects.restore = Some(mark);
        self.wanted = None;
        self.commit_upto(index, effects);
    }
}
