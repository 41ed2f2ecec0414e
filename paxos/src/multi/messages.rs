//! [`Message`]: what members say to each other, and its byte form.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, Index, Lane, MessageError, NodeId, ReadRound};

/// What one member says to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// The ballot it is about; in an answer, that of the message answered.
    pub ballot: Generation,
    /// What is said.
    pub body: Body,
}

/// What a leader tells with whatever it sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tidings {
    /// Everything up to here is chosen.
    pub commit: Index,
    /// The no-op behind which the leader's own proposals begin; [`Index::ZERO`] while it still recovers what its
    /// predecessors left, and takes no proposals yet.
    pub barrier: Index,
    /// The newest read.
    pub round: ReadRound,
    /// The leader's [window](super::Options::window_entries_max), to which a quorum has agreed by its promises.
    pub window: u64,
}

/// The kinds of message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Body {
    /// Asks whether this member would be elected. Changes nothing anywhere.
    PreElect {
        /// Everything up to here is chosen, as far as the sender knows.
        commit: Index,
    },
    /// Answers [`PreElect`](Self::PreElect).
    PreElectAck {
        /// No leader is heard that would be missed.
        agreed: bool,
        /// As in [`PreElect`](Self::PreElect).
        commit: Index,
        /// What this member has promised: a ballot that is to win must be higher.
        promised: Generation,
    },
    /// Phase 1: promise this ballot for all slots, and report what was accepted from this slot on.
    Prepare {
        /// The first slot to report.
        from: Index,
        /// The ballot whose proposer has handed over to the sender: a lease granted at that ballot is no obstacle.
        /// [`Generation::ZERO`] if nobody has.
        after: Generation,
        /// The sender's [window](super::Options::window_entries_max). Nobody promises to work with another one.
        window: u64,
    },
    /// Answers [`Prepare`](Self::Prepare): the ballot is promised, durably, for all slots. Reports a part of what was
    /// accepted: the entries beside it; or, if there are none, that nothing was accepted in a range of slots.
    Promise {
        /// Slots from here on are spoken of.
        from: Index,
        /// Without entries: nothing was accepted in the slots up to here.
        upto: Index,
        /// With entries: the ballot at which all of them were accepted.
        accepted: Generation,
        /// Everything up to here is chosen, and not reported.
        commit: Index,
        /// The highest slot in which anything was accepted.
        last: Index,
    },
    /// A higher ballot has been promised.
    Nack {
        /// That ballot.
        promised: Generation,
    },
    /// Phase 2: accept the entries beside this message.
    Accept(Tidings),
    /// Phase 2 for a whole range: accept a no-op in each of these slots. The same as [`Accept`](Self::Accept) with that many
    /// no-ops beside it, of which there are at most [`NOOPS_MAX`].
    AcceptNoops {
        /// As beside entries.
        tidings: Tidings,
        /// The first slot.
        first: Index,
        /// The last slot.
        last: Index,
    },
    /// Answers [`Accept`](Self::Accept) and [`AcceptNoops`](Self::AcceptNoops): these slots hold what this ballot proposed in
    /// them, durably.
    Accepted {
        /// The first of them.
        first: Index,
        /// The last of them.
        last: Index,
        /// Everything up to here is chosen, as far as the sender knows.
        commit: Index,
        /// As in the message answered.
        round: ReadRound,
    },
    /// The leader is there. Never waits behind entries.
    Heartbeat(Tidings),
    /// Answers [`Heartbeat`](Self::Heartbeat).
    Heard {
        /// Everything up to here is chosen, as far as the sender knows.
        commit: Index,
        /// As in the message answered.
        round: ReadRound,
        /// Everything up to here is chosen by what the sender's disk says: it will know so after a crash, too.
        remembered: Index,
    },
    /// The chosen prefix has grown, and no entries are on their way to say so. Not answered.
    Commit(Tidings),
    /// Asks this member to succeed the sender, whose ballot it obeys, at once.
    TakeOver,
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

/// The most slots that one [`Body::AcceptNoops`] may speak of: a few bytes must not make an acceptor write without end.
/// As entries they take 1.1 MiB.
pub const NOOPS_MAX: u64 = 16_384;

const PRE_ELECT: u8 = 1;
const PRE_ELECT_ACK: u8 = 2;
const PREPARE: u8 = 3;
const PROMISE: u8 = 4;
const NACK: u8 = 5;
const ACCEPT: u8 = 6;
const ACCEPTED: u8 = 7;
const HEARTBEAT: u8 = 8;
const HEARD: u8 = 9;
const COMMIT: u8 = 10;
const ASK: u8 = 11;
const LEARN: u8 = 12;
const TAKE_OVER: u8 = 13;
const ACCEPT_NOOPS: u8 = 14;

impl consensus_api::Message for Message {
    fn lane(&self) -> Lane {
        match self.body {
            Body::Accept(_) | Body::AcceptNoops { .. } | Body::Promise { .. } | Body::Learn { .. } => {
                Lane::Data
            }
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
            Self::PreElect { .. } => PRE_ELECT,
            Self::PreElectAck { .. } => PRE_ELECT_ACK,
            Self::Prepare { .. } => PREPARE,
            Self::Promise { .. } => PROMISE,
            Self::Nack { .. } => NACK,
            Self::Accept(_) => ACCEPT,
            Self::AcceptNoops { .. } => ACCEPT_NOOPS,
            Self::Accepted { .. } => ACCEPTED,
            Self::Heartbeat(_) => HEARTBEAT,
            Self::Heard { .. } => HEARD,
            Self::Commit(_) => COMMIT,
            Self::Ask { .. } => ASK,
            Self::Learn { .. } => LEARN,
            Self::TakeOver => TAKE_OVER,
        }
    }

    fn encode_fields(&self, out: &mut BytesMut) {
        match *self {
            Self::TakeOver => {}
            Self::PreElect { commit: index } | Self::Ask { from: index } | Self::Learn { commit: index } => {
                out.put_u64_le(index.0);
            }
            Self::Prepare { from, after, window } => {
                out.put_u64_le(from.0);
                put_generation(out, after);
                out.put_u64_le(window);
            }
            Self::PreElectAck { agreed, commit, promised } => {
                out.put_u8(u8::from(agreed));
                out.put_u64_le(commit.0);
                put_generation(out, promised);
            }
            Self::Promise { from, upto, accepted, commit, last } => {
                out.put_u64_le(from.0);
                out.put_u64_le(upto.0);
                put_generation(out, accepted);
                out.put_u64_le(commit.0);
                out.put_u64_le(last.0);
            }
            Self::Nack { promised } => put_generation(out, promised),
            Self::Accept(tidings) | Self::Heartbeat(tidings) | Self::Commit(tidings) => {
                put_tidings(out, tidings);
            }
            Self::AcceptNoops { tidings, first, last } => {
                put_tidings(out, tidings);
                out.put_u64_le(first.0);
                out.put_u64_le(last.0);
            }
            Self::Accepted { first, last, commit, round } => {
                out.put_u64_le(first.0);
                out.put_u64_le(last.0);
                out.put_u64_le(commit.0);
                out.put_u64_le(round.0);
            }
            Self::Heard { commit, round, remembered } => {
                out.put_u64_le(commit.0);
                out.put_u64_le(round.0);
                out.put_u64_le(remembered.0);
            }
        }
    }

    fn decode_fields(kind: u8, from: &mut Bytes) -> Result<Self, MessageError> {
        Ok(match kind {
            PRE_ELECT => Self::PreElect { commit: index(from)? },
            PRE_ELECT_ACK => {
                Self::PreElectAck { agreed: flag(from)?, commit: index(from)?, promised: generation(from)? }
            }
            PREPARE => {
                Self::Prepare { from: index(from)?, after: generation(from)?, window: from.try_get_u64_le()? }
            }
            PROMISE => Self::Promise {
                from: index(from)?,
                upto: index(from)?,
                accepted: generation(from)?,
                commit: index(from)?,
                last: index(from)?,
            },
            NACK => Self::Nack { promised: generation(from)? },
            ACCEPT => Self::Accept(tidings(from)?),
            ACCEPT_NOOPS => {
                Self::AcceptNoops { tidings: tidings(from)?, first: index(from)?, last: index(from)? }
            }
            ACCEPTED => Self::Accepted {
                first: index(from)?,
                last: index(from)?,
                commit: index(from)?,
                round: round(from)?,
            },
            HEARTBEAT => Self::Heartbeat(tidings(from)?),
            HEARD => Self::Heard { commit: index(from)?, round: round(from)?, remembered: index(from)? },
            COMMIT => Self::Commit(tidings(from)?),
            ASK => Self::Ask { from: index(from)? },
            LEARN => Self::Learn { commit: index(from)? },
            TAKE_OVER => Self::TakeOver,
            _ => return Err(MessageError("its kind is unknown")),
        })
    }
}

fn put_generation(out: &mut BytesMut, generation: Generation) {
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
}

fn put_tidings(out: &mut BytesMut, tidings: Tidings) {
    out.put_u64_le(tidings.commit.0);
    out.put_u64_le(tidings.barrier.0);
    out.put_u64_le(tidings.round.0);
    out.put_u64_le(tidings.window);
}

fn tidings(from: &mut Bytes) -> Result<Tidings, MessageError> {
    let (commit, barrier, round) = (index(from)?, index(from)?, round(from)?);
    Ok(Tidings { commit, barrier, round, window: from.try_get_u64_le()? })
}

fn index(from: &mut Bytes) -> Result<Index, MessageError> {
    Ok(Index(from.try_get_u64_le()?))
}

fn round(from: &mut Bytes) -> Result<ReadRound, MessageError> {
    Ok(ReadRound(from.try_get_u64_le()?))
}

fn generation(from: &mut Bytes) -> Result<Generation, MessageError> {
    Ok(Generation::new(from.try_get_u64_le()?, NodeId(from.try_get_u64_le()?)))
}

fn flag(from: &mut Bytes) -> Result<bool, MessageError> {
    match from.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(MessageError("a flag is neither 0 nor 1")),
    }
}
