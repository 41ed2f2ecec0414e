//! [`Level`]: how much the queries of one connection must have seen. A client chooses; without a word it gets the best.

use std::time::Duration;

use bytes::Bytes;
use quorate::{Index, ReadLevel};

use crate::integer;

/// What a connection's queries have to have seen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Level {
    /// Every change that was answered before, through whichever member.
    #[default]
    Linearizable,
    /// The same, as long as clocks drift no more than the engine was told.
    Lease,
    /// Every change that this connection was answered.
    OwnWrites,
    /// Every change that was answered so long ago.
    Stale(Duration),
}

impl Level {
    /// What READONLY means: whatever this member knows, if it was true a second ago.
    pub const READONLY: Self = Self::Stale(Duration::from_secs(1));

    /// LINEARIZABLE | LEASE | OWNWRITES | STALE milliseconds
    pub fn read(words: &[Bytes]) -> Option<Self> {
        match words {
            [word] if word.eq_ignore_ascii_case(b"linearizable") => Some(Self::Linearizable),
            [word] if word.eq_ignore_ascii_case(b"lease") => Some(Self::Lease),
            [word] if word.eq_ignore_ascii_case(b"ownwrites") => Some(Self::OwnWrites),
            [word, millis] if word.eq_ignore_ascii_case(b"stale") => {
                let millis = u64::try_from(integer::parse(millis)?).ok()?;
                Some(Self::Stale(Duration::from_millis(millis)))
            }
            _ => None,
        }
    }

    /// As the node knows it, for a connection whose changes go up to `written`.
    pub const fn of_node(self, written: Index) -> ReadLevel {
        match self {
            Self::Linearizable => ReadLevel::Linearizable,
            Self::Lease => ReadLevel::Lease,
            Self::OwnWrites => ReadLevel::AtLeast(written),
            Self::Stale(max_lag) => ReadLevel::Stale { max_lag },
        }
    }
}
