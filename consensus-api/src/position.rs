//! Where things stand in the log: [`Index`], [`Generation`], and [`Applied`], the position a command is applied at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{LogTime, NodeId};

/// The place of an entry in the log. The first entry has index 1; [`Index::ZERO`] is "before the log".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Index(pub u64);

impl Index {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one. Stops at the largest number rather than wrapping.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; [`Index::ZERO`] stays where it is.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many places lie after `earlier` up to and including this one; 0 when `earlier` is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The place `count` further on. Stops at the largest number rather than wrapping.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A leadership, as a number that only grows: Raft's term with its leader, Paxos's ballot. Ordered by round, then by
/// node, so that no two nodes ever own the same one.
///
/// *Patterns of Distributed Systems*, "Generation Clock".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Generation {
    /// Counts elections.
    pub round: u64,
    /// The node that won this round or, in Paxos, tries to.
    pub node: NodeId,
}

impl Generation {
    /// Before any leadership.
    pub const ZERO: Self = Self { round: 0, node: NodeId(0) };

    /// A generation from its two halves.
    pub const fn new(round: u64, node: NodeId) -> Self {
        Self { round, node }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.node.0)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}.{}", self.round, self.node.0)
    }
}

/// The position a command is applied at: all that a state machine may know of the outside world.
///
/// It is the same on every replica, so a state machine that needs a clock or a unique number takes it from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Applied {
    /// The entry the command stands in.
    pub index: Index,
    /// The command's place within its entry, from 0.
    pub offset: u32,
    /// The log's time: the running maximum of what the proposing nodes stamped. It never goes back.
    pub time: LogTime,
}
