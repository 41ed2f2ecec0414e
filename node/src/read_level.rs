//! [`ReadLevel`]: how much a read must have seen.

use std::time::Duration;

use consensus_api::Index;

/// How much a read must have seen. The weaker the level, the less it waits for others.
///
/// Whatever the level, a read sees the state after some entry of the one log: never half an entry, never a state that
/// another node would not go through. *Patterns of Distributed Systems*, "Follower Reads".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[non_exhaustive]
pub enum ReadLevel {
    /// Every write that was answered, on whichever node, before the read began. Costs one round to a quorum, which all
    /// reads that queued meanwhile share. The default.
    #[default]
    Linearizable,
    /// The same, but the leader may answer out of its lease, without asking anyone: as good as the bound on the drift of
    /// clocks that the engine was given. An engine that holds no lease answers as for
    /// [`Linearizable`](Self::Linearizable).
    Lease,
    /// The write with that index, and all before it: one reads one's own writes on any node, also on one that no leader
    /// reaches any more. [`Node::propose_indexed`](crate::Node::propose_indexed) tells a write's index. Waits for that
    /// entry to arrive, and asks nobody.
    AtLeast(Index),
    /// Every write that was answered more than `max_lag` ago. As long as the node knows that of its state, it answers at
    /// once, and sees to it that it goes on knowing it; else it asks the leader, as a linearizable read does. Without a
    /// leader within the longest election timeout the read is refused.
    ///
    /// The lag is measured on the node's own monotonic clock, back to the moment at which the node asked a leader for
    /// what its state now holds. So neither clocks that differ, nor a node that is connected but far behind, nor a leader
    /// that was deposed without knowing it makes an answer older than that.
    Stale {
        /// The oldest that the answer may be.
        max_lag: Duration,
    },
}
