//! [`Envelope`]: what nodes say to each other, around what engines say to each other.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{
    Frame, Generation, Incarnation, Index, Lane, Membership, Message, MessageError, NodeId, ReadId,
    SnapshotMark, StoreId,
};

use crate::errand::Errand;

/// A message between nodes. The first byte of a frame's head tells which; then comes the disk it is said from, for what a
/// member says counts only if it comes from the disk that the member is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Envelope<M> {
    /// The engine's own; its entries are in the body.
    Engine(M),
    /// An entry (in the body) for the leader of this generation, and for nobody else.
    Forward { generation: Generation },
    /// A forwarded entry was not taken, and never will be.
    ForwardRefused { incarnation: Incarnation, sequence: u64, reason: ForwardRefusal },
    /// Find a read index for me, in this life; out of a lease, if that is said.
    Read { incarnation: Incarnation, id: ReadId, lease: bool },
    /// The index for that read of that life; `None` when it was refused.
    ReadAnswer { incarnation: Incarnation, id: ReadId, index: Option<Index> },
    /// An operator's errand, for the leader of this generation, and for nobody else.
    Errand { generation: Generation, incarnation: Incarnation, sequence: u64, errand: Errand },
    /// What became of that errand of that life.
    ErrandEnded { incarnation: Incarnation, sequence: u64, outcome: ErrandOutcome },
    /// A piece of a snapshot (in the body), which is `total` bytes long.
    Chunk { mark: SnapshotMark, total: u64, offset: u64 },
    /// The receiver of that snapshot has it up to `offset`; `offset == total` once it is installed.
    ChunkTaken { index: Index, offset: u64 },
    /// Send your newest snapshot to that member in my stead, if it covers the log up to `least`.
    SnapshotWanted { to: NodeId, least: Index },
    /// What became of the snapshot for that member, which you wanted me to send.
    SnapshotRelayed { to: NodeId, relayed: Relayed },
    /// A disk that is to found a cluster asks by which disk it is known.
    Introduction,
    /// The answer to an introduction of that disk, or to anything that it said.
    Word { asked: StoreId, word: Word },
}

/// How far a snapshot is that is sent in a leader's stead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relayed {
    /// It is being sent.
    UnderWay,
    /// It has arrived, and covers the log up to here.
    Sent(Index),
    /// It will not arrive.
    Failed,
}

/// What a node says to a disk that speaks in a member's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// I am about to found the cluster, too, with you among the founders.
    Founding,
    /// I take part in the cluster, and know you by this disk; zero if by none in particular.
    KnownBy(StoreId),
    /// I take part in the cluster. You were added to it, and no disk of yours is known yet.
    Awaited,
    /// You have not come far enough in the log: it knows me by this very disk, as of this committed entry.
    KnownSince { as_of: Index },
    /// You are no member of the cluster that I know, as of the last committed entry that I have come to.
    Unknown { as_of: Index },
}

/// What became of an errand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ErrandOutcome {
    /// It is done.
    Done,
    /// It did not happen, and may be asked for again.
    NotTaken,
    /// It did not happen, and this is why.
    Refused(String),
    /// Nobody can tell.
    Unknown,
}

/// Why a forwarded entry was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum ForwardRefusal {
    NotLeader = 1,
    ClockAhead = 2,
    StorageFull = 3,
}

impl<M: Message> Envelope<M> {
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Engine(message) => message.lane(),
            Self::Forward { .. } => Lane::Data,
            Self::Chunk { .. } => Lane::Bulk,
            Self::ForwardRefused { .. }
            | Self::Errand { .. }
            | Self::ErrandEnded { .. }
            | Self::Read { .. }
            | Self::ReadAnswer { .. }
            | Self::ChunkTaken { .. }
            | Self::SnapshotWanted { .. }
            | Self::SnapshotRelayed { .. }
            | Self::Introduction
            | Self::Word { .. } => Lane::Control,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Engine(_) => 1,
            Self::Forward { .. } => 2,
            Self::ForwardRefused { .. } => 3,
            Self::Read { .. } => 4,
            Self::ReadAnswer { .. } => 5,
            Self::Chunk { .. } => 6,
            Self::ChunkTaken { .. } => 7,
            Self::Errand { .. } => 8,
            Self::ErrandEnded { .. } => 9,
            Self::Introduction => 10,
            Self::Word { .. } => 11,
            Self::SnapshotWanted { .. } => 12,
            Self::SnapshotRelayed { .. } => 13,
        }
    }

    /// The frame that carries this message and `body` from the disk `store`, where `out` is working space.
    pub(crate) fn seal(&self, store: StoreId, body: Bytes, out: &mut BytesMut) -> Frame {
        out.put_u8(self.kind());
        out.put_u128_le(store.0);
        match self {
            Self::Engine(message) => {
                message.encode(out);
            }
            Self::Forward { generation } => {
                put_generation(out, *generation);
            }
            Self::ForwardRefused { incarnation, sequence, reason } => {
                out.put_u64_le(incarnation.0);
                out.put_u64_le(*sequence);
                out.put_u8(*reason as u8);
            }
            Self::Read { incarnation, id, lease } => {
                out.put_u64_le(incarnation.0);
                out.put_u64_le(id.0);
                out.put_u8(u8::from(*lease));
            }
            Self::ReadAnswer { incarnation, id, index } => {
                out.put_u64_le(incarnation.0);
                out.put_u64_le(id.0);
                out.put_u8(u8::from(index.is_some()));
                out.put_u64_le(index.unwrap_or_default().0);
            }
            Self::Chunk { mark, total, offset } => {
                out.put_u64_le(*total);
                out.put_u64_le(*offset);
                out.put_u64_le(mark.index.0);
                put_generation(out, mark.generation);
                out.put_slice(&mark.membership.encode());
            }
            Self::ChunkTaken { index, offset } => {
                out.put_u64_le(index.0);
                out.put_u64_le(*offset);
            }
            Self::Errand { generation, incarnation, sequence, errand } => {
                put_generation(out, *generation);
                out.put_u64_le(incarnation.0);
                out.put_u64_le(*sequence);
                errand.encode(out);
            }
            Self::ErrandEnded { incarnation, sequence, outcome } => {
                out.put_u64_le(incarnation.0);
                out.put_u64_le(*sequence);
                put_outcome(out, outcome);
            }
            Self::SnapshotWanted { to, least } => {
                out.put_u64_le(to.0);
                out.put_u64_le(least.0);
            }
            Self::SnapshotRelayed { to, relayed } => {
                out.put_u64_le(to.0);
                put_relayed(out, *relayed);
            }
            Self::Introduction => {}
            Self::Word { asked, word } => {
                out.put_u128_le(asked.0);
                put_word(out, *word);
            }
        }
        Frame { head: out.split().freeze(), body }
    }

    /// Reads a frame's head: the disk it was said from, and the message.
    pub(crate) fn open(mut head: Bytes) -> Result<(StoreId, Self), MessageError> {
        let kind = head.try_get_u8()?;
        let store = StoreId(head.try_get_u128_le()?);
        Ok((store, Self::decode(kind, head)?))
    }

    fn decode(kind: u8, mut head: Bytes) -> Result<Self, MessageError> {
        let from = &mut head;
        let envelope = match kind {
            1 => return Ok(Self::Engine(M::decode(head)?)),
            2 => Self::Forward { generation: get_generation(from)? },
            3 => Self::ForwardRefused {
                incarnation: Incarnation(from.try_get_u64_le()?),
                sequence: from.try_get_u64_le()?,
                reason: match from.try_get_u8()? {
                    1 => ForwardRefusal::NotLeader,
                    2 => ForwardRefusal::ClockAhead,
                    3 => ForwardRefusal::StorageFull,
                    _ => return Err(MessageError("unknown reason")),
                },
            },
            4 => {
                let incarnation = Incarnation(from.try_get_u64_le()?);
                let id = ReadId(from.try_get_u64_le()?);
                Self::Read { incarnation, id, lease: from.try_get_u8()? != 0 }
            }
            5 => {
                let incarnation = Incarnation(from.try_get_u64_le()?);
                let id = ReadId(from.try_get_u64_le()?);
                let found = from.try_get_u8()? != 0;
                let index = Index(from.try_get_u64_le()?);
                Self::ReadAnswer { incarnation, id, index: found.then_some(index) }
            }
            6 => {
                let (total, offset) = (from.try_get_u64_le()?, from.try_get_u64_le()?);
                let (index, generation) = (Index(from.try_get_u64_le()?), get_generation(from)?);
                let membership = Membership::decode(from).map_err(|_| MessageError("not a membership"))?;
                return Ok(Self::Chunk {
                    mark: SnapshotMark { index, generation, membership },
                    total,
                    offset,
                });
            }
            7 => Self::ChunkTaken { index: Index(from.try_get_u64_le()?), offset: from.try_get_u64_le()? },
            8 => {
                let (generation, incarnation) = (get_generation(from)?, Incarnation(from.try_get_u64_le()?));
                let sequence = from.try_get_u64_le()?;
                let errand = Errand::decode(head)?;
                return Ok(Self::Errand { generation, incarnation, sequence, errand });
            }
            9 => {
                let (incarnation, sequence) = (Incarnation(from.try_get_u64_le()?), from.try_get_u64_le()?);
                return Ok(Self::ErrandEnded { incarnation, sequence, outcome: get_outcome(head)? });
            }
            10 => Self::Introduction,
            11 => Self::Word { asked: StoreId(from.try_get_u128_le()?), word: get_word(from)? },
            12 => Self::SnapshotWanted {
                to: NodeId(from.try_get_u64_le()?),
                least: Index(from.try_get_u64_le()?),
            },
            13 => Self::SnapshotRelayed { to: NodeId(from.try_get_u64_le()?), relayed: get_relayed(from)? },
            _ => return Err(MessageError("unknown kind")),
        };
        if from.has_remaining() { Err(MessageError("bytes are left over")) } else { Ok(envelope) }
    }
}

fn put_outcome(out: &mut BytesMut, outcome: &ErrandOutcome) {
    match outcome {
        ErrandOutcome::Done => out.put_u8(1),
        ErrandOutcome::NotTaken => out.put_u8(2),
        ErrandOutcome::Refused(reason) => {
            out.put_u8(3);
            out.put_slice(reason.as_bytes());
        }
        ErrandOutcome::Unknown => out.put_u8(4),
    }
}

fn get_outcome(mut from: Bytes) -> Result<ErrandOutcome, MessageError> {
    match (from.try_get_u8()?, from.is_empty()) {
        (1, true) => Ok(ErrandOutcome::Done),
        (2, true) => Ok(ErrandOutcome::NotTaken),
        (3, _) => Ok(ErrandOutcome::Refused(String::from_utf8_lossy(&from).into_owned())),
        (4, true) => Ok(ErrandOutcome::Unknown),
        _ => Err(MessageError("an unknown outcome")),
    }
}

fn put_word(out: &mut BytesMut, word: Word) {
    let (kind, store) = match word {
        Word::Founding => (1, StoreId::default()),
        Word::KnownBy(store) => (2, store),
        Word::Awaited => (3, StoreId::default()),
        Word::Unknown { as_of } => (4, StoreId(u128::from(as_of.0))),
        Word::KnownSince { as_of } => (5, StoreId(u128::from(as_of.0))),
    };
    out.put_u8(kind);
    out.put_u128_le(store.0);
}

fn get_word(from: &mut Bytes) -> Result<Word, MessageError> {
    match (from.try_get_u8()?, StoreId(from.try_get_u128_le()?)) {
        (2, store) => Ok(Word::KnownBy(store)),
        (1, StoreId(0)) => Ok(Word::Founding),
        (3, StoreId(0)) => Ok(Word::Awaited),
        (kind @ (4 | 5), StoreId(index)) => match (kind, u64::try_from(index).map(Index)) {
            (4, Ok(as_of)) => Ok(Word::Unknown { as_of }),
            (_, Ok(as_of)) => Ok(Word::KnownSince { as_of }),
            (_, Err(_)) => Err(MessageError("no entry has such a number")),
        },
        _ => Err(MessageError("an unknown word")),
    }
}

fn put_relayed(out: &mut BytesMut, relayed: Relayed) {
    let (kind, upto) = match relayed {
        Relayed::UnderWay => (1, Index::ZERO),
        Relayed::Sent(upto) => (2, upto),
        Relayed::Failed => (3, Index::ZERO),
    };
    out.put_u8(kind);
    out.put_u64_le(upto.0);
}

fn get_relayed(from: &mut Bytes) -> Result<Relayed, MessageError> {
    match (from.try_get_u8()?, Index(from.try_get_u64_le()?)) {
        (1, Index::ZERO) => Ok(Relayed::UnderWay),
        (2, upto) => Ok(Relayed::Sent(upto)),
        (3, Index::ZERO) => Ok(Relayed::Failed),
        _ => Err(MessageError("an unknown word of a snapshot")),
    }
}

fn put_generation(out: &mut BytesMut, generation: Generation) {
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
}

fn get_generation(from: &mut Bytes) -> Result<Generation, MessageError> {
    Ok(Generation { round: from.try_get_u64_le()?, node: NodeId(from.try_get_u64_le()?) })
}

#[cfg(test)]
mod tests;
