//! Snapshots of this node's own state: when the policy says so, and when somebody asks.

use consensus_api::{Engine, Error, Event, Index, SnapshotMark, Time};

use super::{ApplyWork, Replica};

/// At most so many wait for a snapshot at a time.
const WAITING_MAX: usize = 64;

const NOTHING_YET: &str = "this node has nothing yet to take a snapshot of: it has applied no entry, its cluster is not founded, or it waits to be added";

/// Who waits for a snapshot, and up to which entry it has to reach.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<(u64, Index)>);

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Takes a snapshot of all that this node has handed to its state machine so far, unless there is one. `ticket` comes
    /// back in [`Outputs::snapshots`](super::Outputs::snapshots), with the last entry that the snapshot covers.
    pub fn take_snapshot(&mut self, ticket: u64) {
        let refused = |reason: &str| Err(Error::Refused { reason: reason.to_owned() });
        let upto = self.feeding.next().prev();
        let is_member = self.founding.is_none() && !self.engine.membership().voters().is_empty();
        if !is_member || upto == Index::ZERO {
            self.out.snapshots.push((ticket, refused(NOTHING_YET)));
        } else if self.asked.0.len() >= WAITING_MAX {
            let reason = "too many wait for a snapshot already; ask again later";
            self.out.snapshots.push((ticket, refused(reason)));
        } else {
            self.asked.0.push((ticket, upto));
        }
    }

    /// The snapshot that [`ApplyWork::Snapshot`] asked for is durable, or could not be taken.
    pub fn snapshot_taken(&mut self, now: Time, mark: Result<SnapshotMark, String>) {
        self.feeding.snapshot_ended();
        match mark {
            Ok(mark) => {
                self.snapshot = self.snapshot.max(mark.index);
                let keep_from = self.feeding.keep_from(mark.index);
                if mark.index <= self.standing.commit {
                    self.step(now, Event::SnapshotTaken { mark, keep_from });
                }
            }
            Err(cause) => {
                self.note(format!("a snapshot could not be taken, the log grows on: {cause}"));
                let error = Error::Refused { reason: format!("a snapshot could not be taken: {cause}") };
                self.fail_wanted_snapshots(&error);
            }
        }
    }

    /// Tells those whose snapshot is there. The others want one, whatever the policy says.
    pub(super) fn tend_wanted_snapshots(&mut self) {
        let (snapshot, told) = (self.snapshot, &mut self.out.snapshots);
        self.asked.0.retain(|(ticket, upto)| {
            let waits = *upto > snapshot;
            if !waits {
                told.push((*ticket, Ok(snapshot)));
            }
            waits
        });
        self.feeding.want_snapshot(!self.asked.0.is_empty());
    }

    /// No snapshot comes for those who wait for one.
    pub(super) fn fail_wanted_snapshots(&mut self, error: &Error) {
        let failed = self.asked.0.drain(..).map(|(ticket, _)| (ticket, Err(error.clone())));
        self.out.snapshots.extend(failed);
    }

    /// Has a snapshot taken, if one is due. `durable` is the last entry that is committed and on this node's disk.
    pub(super) fn take_snapshot_if_due(&mut self, durable: Index) {
        // One that waits to be added does not know yet whose members it would put down.
        let is_member = !self.engine.membership().voters().is_empty();
        // Nor may a snapshot hold what this node's log does not.
        if is_member && self.feeding.next() <= durable.next() && self.feeding.snapshot_due() {
            self.out.apply.push(ApplyWork::Snapshot);
        }
    }
}
