//! Logs made up for a test, as they lie on disk, and ballots.

use bytes::Bytes;
use consensus_api::{Entry, Generation, NodeId, Op};
use testkit::protocol::Image;

pub(crate) const fn ballot(round: u64, node: u64) -> Generation {
    Generation::new(round, NodeId(node))
}

/// A log that holds these entries, behind a promise.
pub(crate) fn log_of(promised: Generation, entries: &[Entry]) -> Image {
    let mut bytes = vec![1];
    bytes.extend(promised.round.to_le_bytes());
    bytes.extend(promised.node.0.to_le_bytes());
    let hard_state = Op::HardState(Bytes::from(bytes));
    let mut image = Image::default();
    image.write([hard_state].into_iter().chain(entries.iter().cloned().map(Op::Put)).collect());
    image
}
