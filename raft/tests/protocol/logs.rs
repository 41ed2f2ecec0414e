//! Logs made up for a test, as they lie on disk.

use bytes::Bytes;
use consensus_api::{Entry, Generation, Index, Membership, NodeId, Op, SnapshotMark};
use testkit::protocol::Image;

/// A log: entries of these terms from `base + 1` on, behind a snapshot at `base` if there is one. The leader of term t
/// is node `leader_of(t)`.
pub(crate) fn log_of(base: u64, term: u64, terms: &[u64], membership: &Membership) -> Image {
    let mut image = Image::default();
    let mut ops = vec![hard_state(term, None)];
    if base > 0 {
        let (index, generation) = (Index(base), leader_of(1));
        let membership = membership.clone();
        ops.push(Op::SnapshotMark(SnapshotMark { index, generation, membership }));
        ops.push(Op::Compact { upto: index, generation });
    }
    for (at, term) in terms.iter().enumerate() {
        ops.push(Op::Put(Entry::noop(leader_of(*term), Index(base + 1 + at as u64))));
    }
    image.write(ops.into_iter().collect());
    image
}

/// Who led a term in the logs that [`log_of`] makes up.
pub(crate) fn leader_of(term: u64) -> Generation {
    Generation::new(term, NodeId(term % 3 + 1))
}

/// Term and vote as they lie on disk.
pub(crate) fn hard_state(term: u64, vote: Option<u64>) -> Op {
    let mut bytes = vec![1];
    bytes.extend(term.to_le_bytes());
    bytes.push(u8::from(vote.is_some()));
    bytes.extend(vote.unwrap_or_default().to_le_bytes());
    Op::HardState(Bytes::from(bytes))
}
