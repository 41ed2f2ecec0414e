//! Equal logs give equal states, on every node, through snapshots and restarts.

use std::collections::BTreeMap;

use consensus_api::Index;

use super::{Checked, violated};

pub(super) const NAME: &str = "digests";

/// The state after each index, of whoever came first.
#[derive(Debug, Default)]
pub(super) struct Digests {
    states: BTreeMap<Index, u64>,
}

impl Digests {
    pub(super) fn state(&mut self, index: Index, digest: u64) -> Checked {
        let known = *self.states.entry(index).or_insert(digest);
        if known == digest {
            return Ok(());
        }
        violated(
            "equal logs give equal states",
            format!("two states after entry {index}: {known:x} and {digest:x}"),
        )
    }
}
