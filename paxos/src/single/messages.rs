//! [`Message`]: what members say to each other, and its byte form.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, Index, Lane, MessageError, NodeId};

/// Numbers the questions of one member's life that its reads rest on. An answer echoes the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PollRound(pub u64);

/// Slots of which one ballot's proposer has seen a quorum's acceptances, `first ..= last`; none while `last` is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Won {
    /// The first of them.
    pub first: Index,
    /// The last of them.
    pub last: Index,
}

/// What one member says to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// The ballot it is about; zero where it is about none.
    pub ballot: Generation,
    /// What is said.
    pub body: Body,
}

/// The kinds of message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Body {
    /// Phase 1: promise this ballot, and tell what was accepted in this slot.
    Prepare {
        /// The slot.
        slot: Index,
    },
    /// Answers [`Prepare`](Self::Prepare): the ballot is promised, durably, for every slot that is not known to be chosen.
    Promise {
        /// As in the message answered.
        slot: Index,
        /// The ballot at which a value was accepted in that slot; zero if none was.
        accepted: Generation,
        /// The highest slot in which anything was accepted.
        last: Index,
    },
    /// A higher ballot has been promised.
    Nack {
        /// That ballot.
        promised: Generation,
    },
    /// Asks for the value that was accepted in this slot at this ballot.
    Fetch {
        /// The slot.
        slot: Index,
        /// The ballot.
        accepted: Generation,
    },
    /// Answers [`Fetch`](Self::Fetch): it is the entry beside this message.
    Value {
        /// As in the message answered.
        slot: Index,
    },
    /// Phase 2: accept the entry beside this message.
    Accept {
        /// What this ballot has won before.
        won: Won,
    },
    /// Answers [`Accept`](Self::Accept): the slot holds what this ballot proposed in it, durably.
    Accepted {
        /// The slot.
        slot: Index,
    },
    /// A quorum has accepted what this ballot proposed in these slots.
    Chosen {
        /// The slots.
        won: Won,
    },
    /// Asks how far slots have been accepted, for a read.
    Poll {
        /// Which question it is.
        round: PollRound,
    },
    /// Answers [`Poll`](Self::Poll).
    Polled {
        /// As in the message answered.
        round: PollRound,
        /// The highest slot in which anything was accepted, or is known to be chosen.
        last: Index,
        /// Everything up to here is chosen, as far as the sender knows.
        commit: Index,
    },
    /// Tells how far the sender knows the slots to be chosen.
    Status {
        /// Everything up to here.
        commit: Index,
    },
    /// Asks whoever knows for chosen entries.
    Ask {
        /// The first one wanted.
        from: Index,
    },
    /// Answers [`Ask`](Self::Ask): the entries beside it are chosen. Its ballot is theirs.
    Learn {
        /// Everything up to here is chosen.
        commit: Index,
    },
}

const PREPARE: u8 = 1;
const PROMISE: u8 = 2;
const NACK: u8 = 3;
const FETCH: u8 = 4;
const VALUE: u8 = 5;
const ACCEPT: u8 = 6;
const ACCEPTED: u8 = 7;
const CHOSEN: u8 = 8;
const POLL: u8 = 9;
const POLLED: u8 = 10;
const STATUS: u8 = 11;
const ASK: u8 = 12;
const LEARN: u8 = 13;

impl consensus_api::Message for Message {
    fn lane(&self) -> Lane {
        match self.body {
            Body::Accept { .. } | Body::Value { .. } | Body::Learn { .. } => Lane::Data,
            _ => Lane::Control,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.body.kind());
        put_generation(out, self.ballot);
        self.body.encode_fields(out);
    }

    fn decode(mut bytes: Bytes) -> Result<Self, MessageError> {
        let from = &mut bytes;
        let kind = from.try_get_u8()?;
        let ballot = generation(from)?;
        let body = Body::decode_fields(kind, from)?;
        if !from.is_empty() {
            return Err(MessageError("bytes are left over"));
        }
        Ok(Self { ballot, body })
    }
}

impl Body {
    const fn kind(&self) -> u8 {
        match self {
            Self::Prepare { .. } => PREPARE,
            Self::Promise { .. } => PROMISE,
            Self::Nack { .. } => NACK,
            Self::Fetch { .. } => FETCH,
            Self::Value { .. } => VALUE,
            Self::Accept { .. } => ACCEPT,
            Self::Accepted { .. } => ACCEPTED,
            Self::Chosen { .. } => CHOSEN,
            Self::Poll { .. } => POLL,
            Self::Polled { .. } => POLLED,
            Self::Status { .. } => STATUS,
            Self::Ask { .. } => ASK,
            Self::Learn { .. } => LEARN,
        }
    }

    fn encode_fields(&self, out: &mut BytesMut) {
        match *self {
            Self::Prepare { slot: index }
            | Self::Value { slot: index }
            | Self::Accepted { slot: index }
            | Self::Status { commit: index }
            | Self::Ask { from: index }
            | Self::Learn { commit: index } => out.put_u64_le(index.0),
            Self::Promise { slot, accepted, last } => {
                out.put_u64_le(slot.0);
                put_generation(out, accepted);
                out.put_u64_le(last.0);
            }
            Self::Nack { promised } => put_generation(out, promised),
            Self::Fetch { slot, accepted } => {
                out.put_u64_le(slot.0);
                put_generation(out, accepted);
            }
            Self::Accept { won } | Self::Chosen { won } => {
                out.put_u64_le(won.first.0);
                out.put_u64_le(won.last.0);
            }
            Self::Poll { round } => out.put_u64_le(round.0),
            Self::Polled { round, last, commit } => {
                out.put_u64_le(round.0);
                out.put_u64_le(last.0);
                out.put_u64_le(commit.0);
            }
        }
    }

    fn decode_fields(kind: u8, from: &mut Bytes) -> Result<Self, MessageError> {
        Ok(match kind {
            PREPARE => Self::Prepare { slot: index(from)? },
            PROMISE => Self::Promise { slot: index(from)?, accepted: generation(from)?, last: index(from)? },
            NACK => Self::Nack { promised: generation(from)? },
            FETCH => Self::Fetch { slot: index(from)?, accepted: generation(from)? },
            VALUE => Self::Value { slot: index(from)? },
            ACCEPT => Self::Accept { won: won(from)? },
            ACCEPTED => Self::Accepted { slot: index(from)? },
            CHOSEN => Self::Chosen { won: won(from)? },
            POLL => Self::Poll { round: PollRound(from.try_get_u64_le()?) },
            POLLED => Self::Polled {
                round: PollRound(from.try_get_u64_le()?),
                last: index(from)?,
                commit: index(from)?,
            },
            STATUS => Self::Status { commit: index(from)? },
            ASK => Self::Ask { from: index(from)? },
            LEARN => Self::Learn { commit: index(from)? },
            _ => return Err(MessageError("its kind is unknown")),
        })
    }
}

fn put_generation(out: &mut BytesMut, generation: Generation) {
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
}

fn generation(from: &mut Bytes) -> Result<Generation, MessageError> {
    Ok(Generation::new(from.try_get_u64_le()?, NodeId(from.try_get_u64_le()?)))
}

fn index(from: &mut Bytes) -> Result<Index, MessageError> {
    Ok(Index(from.try_get_u64_le()?))
}

fn won(from: &mut Bytes) -> Result<Won, MessageError> {
    Ok(Won { first: index(from)?, last: index(from)? })
}
