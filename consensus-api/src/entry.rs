//! [`Entry`]: what the log is made of. An entry is a batch of commands that stand or fall together.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Generation, Incarnation, Index, LogTime, NodeId, Payload, PayloadError, RecordError, SessionOp, record,
};

/// The name a proposing node gives an entry. No two entries ever bear the same one, whichever nodes and lives
/// proposed them, so whoever waits for an entry recognises it wherever it ends up in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ProposalId {
    /// The node that proposed the entry, and answers for it.
    pub node: NodeId,
    /// That node's life.
    pub incarnation: Incarnation,
    /// Counts the proposals of that life, from 1.
    pub sequence: u64,
}

/// What an entry is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EntryKind {
    /// Carries commands for the state machine.
    Commands = 1,
    /// Carries nothing: a new leader's first entry, or what fills a hole.
    Noop = 2,
    /// Carries a [`Membership`](crate::Membership) in its byte form.
    Membership = 3,
    /// Carries commands for the state machine, each behind a [`SessionOp`](crate::SessionOp).
    Sessions = 4,
    /// Tells the others a digest of the proposing node's state: u64 index, u64 digest.
    Digest = 5,
}

impl EntryKind {
    /// The kind of that number, if there is one.
    pub const fn from_u8(kind: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Commands),
            2 => Some(Self::Noop),
            3 => Some(Self::Membership),
            4 => Some(Self::Sessions),
            5 => Some(Self::Digest),
            _ => None,
        }
    }

    /// Whether entries of this kind carry commands.
    pub const fn has_commands(self) -> bool {
        matches!(self, Self::Commands | Self::Sessions)
    }
}

/// One entry of the log. Cheap to clone: the body is shared, encoded once by the node that proposed it and carried
/// unchanged over the wire, into every log and to every state machine.
///
/// An engine stamps `generation` and `index` when it accepts an entry; Paxos may stamp them again. Everything else is
/// fixed by the proposing node and lies under `checksum`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The leadership under which the entry was accepted into the log.
    pub generation: Generation,
    /// Its place in the log.
    pub index: Index,
    /// What it is for.
    pub kind: EntryKind,
    /// Reserved for later versions; 0 today.
    pub flags: u8,
    /// How many commands the body holds; 0 unless the kind [carries commands](EntryKind::has_commands).
    pub count: u32,
    /// Its name.
    pub proposal: ProposalId,
    /// The proposing node's wall clock when it proposed.
    pub time: LogTime,
    /// CRC32C over all that never changes; see [`record`].
    pub checksum: u32,
    /// The commands, each a 4-byte length and its bytes; see [`Commands`].
    pub body: Bytes,
}

impl Entry {
    /// An entry of the given kind and body, not yet placed in the log, with its checksum computed.
    pub fn new(kind: EntryKind, count: u32, proposal: ProposalId, time: LogTime, body: Bytes) -> Self {
        let mut entry = Self {
            generation: Generation::ZERO,
            index: Index::ZERO,
            kind,
            flags: 0,
            count,
            proposal,
            time,
            checksum: 0,
            body,
        };
        entry.checksum = record::checksum(&entry);
        entry
    }

    /// An empty entry at its place in the log.
    pub fn noop(generation: Generation, index: Index) -> Self {
        let mut entry = Self::new(EntryKind::Noop, 0, ProposalId::default(), LogTime::ZERO, Bytes::new());
        entry.generation = generation;
        entry.index = index;
        entry
    }

    /// The bytes this entry takes as a record, on disk or on the wire.
    pub fn record_len(&self) -> usize {
        record::HEADER_BYTES + self.body.len()
    }

    /// The commands of this entry, in order, each with its session's part where the kind has one. Empty for the other
    /// kinds.
    pub fn commands(&self) -> Commands {
        let remaining = if self.kind.has_commands() { self.count } else { 0 };
        Commands::new(remaining, self.body.clone())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{:?} {:?}", self.index, self.generation, self.kind)?;
        if self.kind.has_commands() {
            write!(f, " x{} ({} B, proposal {})", self.count, self.body.len(), self.proposal.sequence)?;
        }
        Ok(())
    }
}

/// The commands of an entry, one after the other, without copying.
///
/// Yields [`RecordError`] once and then ends if the body does not hold what the header says.
#[derive(Clone, Debug)]
pub struct Commands {
    remaining: u32,
    body: Bytes,
}

impl Iterator for Commands {
    type Item = Result<Bytes, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        self.remaining -= 1;
        let len = match self.body.first_chunk::<4>() {
            Some(len) => u32::from_le_bytes(*len) as usize,
            None => return Some(Err(self.broken())),
        };
        if self.body.len() - 4 < len {
            return Some(Err(self.broken()));
        }
        let command = self.body.slice(4..4 + len);
        self.body = self.body.slice(4 + len..);
        Some(Ok(command))
    }
}

impl Commands {
    /// The commands of a body that is said to hold so many.
    pub const fn new(count: u32, body: Bytes) -> Self {
        Self { remaining: count, body }
    }

    fn broken(&mut self) -> RecordError {
        let left = std::mem::take(&mut self.remaining);
        RecordError::Body { commands_missing: left + 1 }
    }

    /// Appends one command to a body under construction.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`] when the command alone exceeds [`record::BODY_BYTES_MAX`]; the body is unchanged.
    pub fn push(body: &mut BytesMut, command: &[u8]) -> Result<(), RecordError> {
        let len = checked_len(command.len())?;
        body.put_u32_le(len);
        body.put_slice(command);
        Ok(())
    }

    /// Appends one command that is yet to be encoded. How many bytes that took.
    ///
    /// # Errors
    /// [`PayloadError`] when it has no byte form or is too large for any entry; the body is unchanged.
    pub fn push_payload(body: &mut BytesMut, command: &impl Payload) -> Result<usize, PayloadError> {
        let start = body.len();
        body.put_u32_le(0);
        let encoded = command.encode(body).and_then(|()| {
            let (_, tail) = body.split_at_mut_checked(start).ok_or_else(shrunk)?;
            let (head, bytes) = tail.split_first_chunk_mut::<4>().ok_or_else(shrunk)?;
            let len = checked_len(bytes.len()).map_err(|error| PayloadError(error.to_string()))?;
            *head = len.to_le_bytes();
            Ok(bytes.len())
        });
        if encoded.is_err() {
            body.truncate(start);
        }
        encoded
    }

    /// Appends one command behind what its session has to say of it.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_in_session(body: &mut BytesMut, op: &SessionOp, command: &[u8]) -> Result<(), RecordError> {
        let mut head = [0; SessionOp::BYTES_MAX];
        let mut rest = &mut head[..];
        op.encode(&mut rest);
        let head_len = SessionOp::BYTES_MAX - rest.len();
        let len = checked_len(head_len + command.len())?;
        body.put_u32_le(len);
        body.put_slice(&head[..head_len]);
        body.put_slice(command);
        Ok(())
    }
}

fn shrunk() -> PayloadError {
    PayloadError("to encode it took bytes away that were there before".to_owned())
}

fn checked_len(bytes: usize) -> Result<u32, RecordError> {
    let fits = u32::try_from(bytes).ok().filter(|_| bytes + 4 <= record::BODY_BYTES_MAX);
    fits.ok_or(RecordError::TooLarge { bytes, bytes_max: record::BODY_BYTES_MAX })
}
