//! [`State`]: what a register holds, and the [`Change`]s that can be made to it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, MessageError, NodeId};

/// Names one change, in all its repetitions. Drawn by whoever asks for it, and never used for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ChangeId(pub u128);

/// What a register holds.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct State {
    /// Counts the changes that took effect; 0 for a register that nobody has written.
    pub version: u64,
    /// The value; `None` before the first write and after a deletion.
    pub value: Option<Bytes>,
    /// The newest changes that took effect, oldest first, each with the version it made: a repeated change is recognised
    /// among them.
    recent: Vec<(ChangeId, u64)>,
}

/// A repetition is recognised as long as so many others have not taken effect since.
pub const RECENT_CHANGES_MAX: usize = 16;

/// What can be done to a register (Rystsov 2018, "CASPaxos", section 2.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// Nothing: to read it.
    Read,
    /// Writes the value unless one was ever written: the value of a write-once register.
    Init(Bytes),
    /// Writes the value.
    Put(Bytes),
    /// Writes the value if the register is at this version.
    CompareAndSet {
        /// The version it must be at; 0 for never written.
        version: u64,
        /// The value to write.
        value: Bytes,
    },
    /// Removes the value. The version goes on counting.
    Delete,
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// Whether it took effect, now or in an earlier attempt under the same [`ChangeId`]. Never for a read.
    pub changed: bool,
    /// The version it made; or, if it did not take effect, the version found.
    pub version: u64,
    /// The value as it is now.
    pub value: Option<Bytes>,
}

impl State {
    /// What this state becomes by a change, and the answer to whoever asked for it. A change that took effect before takes
    /// none again.
    pub(super) fn apply(mut self, change: &Change, id: ChangeId) -> (Self, Answer) {
        if let Some((_, version)) = self.recent.iter().find(|(known, _)| *known == id) {
            let answer = Answer { changed: true, version: *version, value: self.value.clone() };
            return (self, answer);
        }
        let value = match change {
            Change::Read => None,
            Change::Init(value) => (self.version == 0).then(|| Some(value.clone())),
            Change::Put(value) => Some(Some(value.clone())),
            Change::CompareAndSet { version, value } => {
                (self.version == *version).then(|| Some(value.clone()))
            }
            Change::Delete => self.value.is_some().then_some(None),
        };
        let changed = value.is_some();
        if let Some(value) = value {
            self.value = value;
            self.version += 1;
            if self.recent.len() == RECENT_CHANGES_MAX {
                self.recent.remove(0);
            }
            self.recent.push((id, self.version));
        }
        let answer = Answer { changed, version: self.version, value: self.value.clone() };
        (self, answer)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.version);
        out.put_u8(u8::from(self.value.is_some()));
        if let Some(value) = &self.value {
            put_bytes(out, value);
        }
        out.put_u8(self.recent.len() as u8);
        for (id, version) in &self.recent {
            out.put_u128_le(id.0);
            out.put_u64_le(*version);
        }
    }

    pub(super) fn decode(from: &mut Bytes) -> Result<Self, MessageError> {
        let version = from.try_get_u64_le()?;
        let value = if flag(from)? { Some(take_bytes(from)?) } else { None };
        let count = usize::from(from.try_get_u8()?);
        if count > RECENT_CHANGES_MAX {
            return Err(MessageError("it remembers too many changes"));
        }
        let change = |_| Ok((ChangeId(from.try_get_u128_le()?), from.try_get_u64_le()?));
        let recent = (0..count).map(change).collect::<Result<_, MessageError>>()?;
        Ok(Self { version, value, recent })
    }
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(bytes.len() as u32);
    out.put_slice(bytes);
}

pub(super) fn take_bytes(from: &mut Bytes) -> Result<Bytes, MessageError> {
    let len = from.try_get_u32_le()? as usize;
    if from.len() < len {
        return Err(MessageError("it is cut short"));
    }
    Ok(from.split_to(len))
}

pub(super) fn put_generation(out: &mut BytesMut, generation: Generation) {
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
}

pub(super) fn take_generation(from: &mut Bytes) -> Result<Generation, MessageError> {
    Ok(Generation::new(from.try_get_u64_le()?, NodeId(from.try_get_u64_le()?)))
}

pub(super) fn flag(from: &mut Bytes) -> Result<bool, MessageError> {
    match from.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(MessageError("a flag is neither 0 nor 1")),
    }
}
