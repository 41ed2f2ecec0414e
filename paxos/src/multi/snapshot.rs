//! Snapshots: what one's own makes of the log, and what another member's does. The node carries them over.

use consensus_api::{Effects, Index, SnapshotMark};

use super::{Message, MultiPaxos};

impl MultiPaxos {
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
            let index = mark.index;
            self.log.compact(self.timers.now, mark, upto, effects);
            self.watermark.write(effects.newest_write(), index);
        }
    }

    /// Another member's snapshot is here, durable. It takes the place of the log up to its index, and of nothing else: the
    /// promise stands, and so does what was accepted above. (Raft would cut that off. Here it may be chosen.)
    pub(super) fn on_snapshot_received(&mut self, mark: SnapshotMark, effects: &mut Effects<Message>) {
        if mark.index <= self.commit {
            return;
        }
        let index = mark.index;
        self.log.compact(self.timers.now, mark.clone(), index, effects);
        effects.restore = Some(mark);
        self.watermark.write(effects.newest_write(), index);
        self.commit_upto(index, effects);
        self.refresh_membership(effects);
        self.follow_commit(effects);
    }
}
