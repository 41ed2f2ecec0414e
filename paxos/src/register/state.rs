//! [`State`]: what a register holds, and the [`Change`]s that can be made to it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, Membership, MessageError, NodeId};

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
    /// The newest changes that took effect, oldest first, and the newest of each keeper: a repeated change is recognised
    /// among them.
    recent: Vec<Recent>,
}

/// A change that took effect.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Recent {
    id: ChangeId,
    /// The version it made.
    version: u64,
    /// The keeper that proposed it.
    by: NodeId,
}

/// A repetition is recognised as long as so many others have not taken effect since; and by the keeper that proposed the
/// change, until it proposes another one.
pub const RECENT_CHANGES_MAX: usize = 16;

/// Whether a change took effect cannot be told any more: it is asked for again, and what made the version that it would have
/// made is not remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Forgotten;

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

impl Change {
    /// The one version that it can make, if there is but one.
    const fn makes(&self) -> Option<u64> {
        match self {
            Self::Init(_) => Some(1),
            Self::CompareAndSet { version, .. } => version.checked_add(1),
            Self::Read | Self::Put(_) | Self::Delete => None,
        }
    }
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
    /// What this state becomes by a change that a keeper proposes, and the answer to whoever asked for it. A change that
    /// took effect before takes none again; of one that is asked for `again` it may be forgotten whether it did.
    pub(super) fn apply(
        mut self,
        change: &Change,
        (id, again): (ChangeId, bool),
        by: NodeId,
    ) -> Result<(Self, Answer), Forgotten> {
        if let Some(known) = self.recent.iter().find(|known| known.id == id) {
            let answer = Answer { changed: true, version: known.version, value: self.value.clone() };
            return Ok((self, answer));
        }
        if again && change.makes().is_some_and(|version| self.has_forgotten(version)) {
            return Err(Forgotten);
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
            self.remember(Recent { id, version: self.version, by });
        }
        let answer = Answer { changed, version: self.version, value: self.value.clone() };
        Ok((self, answer))
    }

    /// A keeper carries out one change of a register after the other. So as long as the newest of each is remembered, none
    /// mistakes its own change, half done in an attempt that it lost and finished by another, for one that never was.
    fn remember(&mut self, change: Recent) {
        self.recent.push(change);
        if self.recent.len() > RECENT_CHANGES_MAX {
            let newer_by_the_same =
                |at: usize| self.recent[at + 1..].iter().any(|it| it.by == self.recent[at].by);
            if let Some(at) = (0..self.recent.len()).find(|at| newer_by_the_same(*at)) {
                self.recent.remove(at);
            }
        }
    }

    /// Whether there was such a version, and what made it is not remembered.
    fn has_forgotten(&self, version: u64) -> bool {
        version <= self.version && self.recent.iter().all(|known| known.version != version)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.put_u64_le(self.version);
        out.put_u8(u8::from(self.value.is_some()));
        if let Some(value) = &self.value {
            put_bytes(out, value);
        }
        out.put_u16_le(self.recent.len() as u16);
        for Recent { id, version, by } in &self.recent {
            out.put_u128_le(id.0);
            out.put_u64_le(*version);
            out.put_u64_le(by.0);
        }
    }

    pub(super) fn decode(from: &mut Bytes) -> Result<Self, MessageError> {
        let version = from.try_get_u64_le()?;
        let value = if flag(from)? { Some(take_bytes(from)?) } else { None };
        let count = usize::from(from.try_get_u16_le()?);
        if count > RECENT_CHANGES_MAX + Membership::MEMBERS_MAX {
            return Err(MessageError("it remembers too many changes"));
        }
        let recent = (0..count).map(|_| {
            let (id, version) = (ChangeId(from.try_get_u128_le()?), from.try_get_u64_le()?);
            Ok(Recent { id, version, by: NodeId(from.try_get_u64_le()?) })
        });
        let recent = recent.collect::<Result<_, MessageError>>()?;
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
