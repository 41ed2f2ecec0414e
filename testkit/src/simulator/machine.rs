//! [`Ledger`]: the state machine of simulations. It remembers every command it applied, so that a lost or doubled one
//! shows.

use std::collections::BTreeMap;

use consensus_api::{Applied, StateMachine, snapshot_with_serde};
use serde::{Deserialize, Serialize};

use super::sessions::IN_SESSION;

/// Every command ever applied, with its position; and a running digest of all of it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// By command: where it was applied, as (index, offset). A second application would show as a doubled command.
    pub applied: BTreeMap<u64, (u64, u32)>,
    /// Commands applied more than once.
    pub doubled: Vec<u64>,
    /// The last command applied to each of the [`KEYS`], those in sessions aside.
    pub latest: BTreeMap<u64, u64>,
    /// A digest of everything applied, in order.
    pub digest: u64,
}

/// A command writes its own number to one of so many keys: the remainder.
pub const KEYS: u64 = 7;

impl StateMachine for Ledger {
    /// A command is a number that no other command has, and padding.
    type Command = (u64, Vec<u8>);
    /// Where it was applied, and how many were before it.
    type Response = (u64, u32, u64);

    fn apply(&mut self, at: Applied, (command, padding): (u64, Vec<u8>)) -> (u64, u32, u64) {
        let before = self.applied.len() as u64;
        if self.applied.insert(command, (at.index.0, at.offset)).is_some() {
            self.doubled.push(command);
        }
        if command & IN_SESSION == 0 {
            self.latest.insert(command % KEYS, command);
        }
        for part in [command, at.index.0, u64::from(at.offset), at.time.0, padding.len() as u64] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
        (at.index.0, at.offset, before)
    }

    snapshot_with_serde!();
}
