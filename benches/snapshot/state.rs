//! [`State`]: what all members hold: so many keys, with values of one length.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::Failure;
use crate::command::{Command, Condition, Lifetime, Set, SetAnswer};

/// How large the state is.
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) keys: u64,
    pub(crate) value_bytes: u64,
}

/// What a key takes in a snapshot of the store, beside its value.
const KEY_BYTES: u64 = 12 + 24;
/// Keys that are filled in at once.
const FILLED: u64 = 500;

impl State {
    /// One that takes so many bytes as a snapshot.
    pub(crate) fn of_bytes(bytes: u64, value_bytes: u64) -> Self {
        Self { keys: (bytes / (value_bytes + KEY_BYTES)).max(1), value_bytes }
    }

    /// How much it takes as a snapshot.
    pub(crate) const fn bytes(&self) -> u64 {
        self.keys * (self.value_bytes + KEY_BYTES)
    }

    fn pair(&self, number: u64) -> (Bytes, Bytes) {
        let value = vec![number as u8; self.value_bytes as usize];
        (format!("key:{:08}", number % self.keys).into(), value.into())
    }

    /// The commands that bring it about.
    pub(crate) fn commands(self) -> impl Iterator<Item = Command> {
        let firsts = (0..self.keys).step_by(FILLED as usize);
        firsts.map(move |first| {
            let numbers = first..(first + FILLED).min(self.keys);
            Command::SetMany(numbers.map(|number| self.pair(number)).collect())
        })
    }

    /// A command that overwrites one value.
    pub(crate) fn overwrite(&self, number: u64) -> Command {
        let (key, value) = self.pair(number);
        let (condition, lifetime, answer) = (Condition::Always, Lifetime::Unlimited, SetAnswer::Done);
        Command::Set(Set { key, value, condition, lifetime, answer })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.keys, self.value_bytes)
    }
}

impl FromStr for State {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (keys, value_bytes) = text.split_once('x').ok_or("a state is KEYSxBYTES")?;
        Ok(Self { keys: keys.parse()?, value_bytes: value_bytes.parse()? })
    }
}
