//! [`Message`]: what members say to each other, and its byte form.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, Index, Lane, MessageError, NodeId, ReadRound};

use crate::election::Candidacy;

/// Counts elections. At most one leader per term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one; `None` once numbers run out, which only damage can bring about.
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// What one member says to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// The sender's term. For a pre-vote's request and its grant: the term that is asked about.
    pub term: Term,
    /// What is said.
    pub body: Body,
}

/// The kinds of message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Body {
    /// Asks for a vote.
    RequestVote {
        /// How it comes to stand.
        candidacy: Candidacy,
        /// The candidate's last entry.
        last: Index,
        /// That entry's term.
        last_term: Term,
    },
    /// Answers [`RequestVote`](Self::RequestVote).
    Vote {
        /// Answers a pre-vote.
        pre: bool,
        /// Whether the vote is given.
        granted: bool,
    },
    /// Replicates: the entries beside this message follow `prev`. Without entries it asks whether the log agrees at
    /// `prev`.
    Append {
        /// The entry before those sent.
        prev: Index,
        /// Its generation.
        prev_generation: Generation,
        /// The leader's commit index.
        commit: Index,
        /// The newest read.
        round: ReadRound,
    },
    /// Answers [`Append`](Self::Append): the log agrees with the leader's up to `matched`, durably.
    Accepted {
        /// The last entry known to agree.
        matched: Index,
        /// As in the message answered.
        round: ReadRound,
    },
    /// Answers [`Append`](Self::Append): the log does not agree at `prev`.
    Rejected {
        /// As in the message answered.
        prev: Index,
        /// The last entry, at or below `prev`, that may agree.
        hint: Index,
        /// That entry's term.
        hint_term: Term,
        /// As in the message answered.
        round: ReadRound,
    },
    /// The leader is there. Never waits behind entries.
    Heartbeat {
        /// As much as is committed and known to be in the receiver's log.
        commit: Index,
        /// The generation of the entry at `commit`: a log that has it there agrees up to there.
        commit_generation: Generation,
        /// The newest read.
        round: ReadRound,
    },
    /// Answers [`Heartbeat`](Self::Heartbeat), or anything from a leader of an earlier term, which so learns of the
    /// later one.
    Heard {
        /// As in the message answered.
        round: ReadRound,
        /// How much the sender should lead, by [`Options::priority`](crate::Options::priority).
        priority: u8,
    },
    /// The commit index has moved, and no entries are on their way to say so. Not answered.
    Commit {
        /// As in [`Heartbeat`](Self::Heartbeat).
        commit: Index,
        /// As in [`Heartbeat`](Self::Heartbeat).
        commit_generation: Generation,
    },
    /// The leader hands over: stand for election now. Not answered.
    TimeoutNow,
}

const REQUEST_VOTE: u8 = 1;
const VOTE: u8 = 2;
const APPEND: u8 = 3;
const ACCEPTED: u8 = 4;
const REJECTED: u8 = 5;
const HEARTBEAT: u8 = 6;
const HEARD: u8 = 7;
const COMMIT: u8 = 8;
const TIMEOUT_NOW: u8 = 9;

impl consensus_api::Message for Message {
    fn lane(&self) -> Lane {
        match self.body {
            Body::Append { .. } => Lane::Data,
            _ => Lane::Control,
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        let kind = match self.body {
            Body::RequestVote { .. } => REQUEST_VOTE,
            Body::Vote { .. } => VOTE,
            Body::Append { .. } => APPEND,
            Body::Accepted { .. } => ACCEPTED,
            Body::Rejected { .. } => REJECTED,
            Body::Heartbeat { .. } => HEARTBEAT,
            Body::Heard { .. } => HEARD,
            Body::Commit { .. } => COMMIT,
            Body::TimeoutNow => TIMEOUT_NOW,
        };
        out.put_u8(kind);
        out.put_u64_le(self.term.0);
        self.body.encode_fields(out);
    }

    fn decode(mut bytes: Bytes) -> Result<Self, MessageError> {
        let from = &mut bytes;
        let kind = from.try_get_u8()?;
        let term = Term(from.try_get_u64_le()?);
        let body = Body::decode_fields(kind, from)?;
        if !from.is_empty() {
            return Err(MessageError("bytes are left over"));
        }
        Ok(Self { term, body })
    }
}

impl Body {
    fn encode_fields(&self, out: &mut BytesMut) {
        match *self {
            Self::RequestVote { candidacy, last, last_term } => {
                out.put_u8(candidacy as u8);
                out.put_u64_le(last.0);
                out.put_u64_le(last_term.0);
            }
            Self::Vote { pre, granted } => {
                out.put_u8(u8::from(pre));
                out.put_u8(u8::from(granted));
            }
            Self::Append { prev, prev_generation, commit, round } => {
                put_position(out, prev, prev_generation);
                out.put_u64_le(commit.0);
                out.put_u64_le(round.0);
            }
            Self::Accepted { matched, round } => {
                out.put_u64_le(matched.0);
                out.put_u64_le(round.0);
            }
            Self::Rejected { prev, hint, hint_term, round } => {
                out.put_u64_le(prev.0);
                out.put_u64_le(hint.0);
                out.put_u64_le(hint_term.0);
                out.put_u64_le(round.0);
            }
            Self::Heartbeat { commit, commit_generation, round } => {
                put_position(out, commit, commit_generation);
                out.put_u64_le(round.0);
            }
            Self::Heard { round, priority } => {
                out.put_u64_le(round.0);
                out.put_u8(priority);
            }
            Self::Commit { commit, commit_generation } => put_position(out, commit, commit_generation),
            Self::TimeoutNow => {}
        }
    }

    fn decode_fields(kind: u8, from: &mut Bytes) -> Result<Self, MessageError> {
        Ok(match kind {
            REQUEST_VOTE => Self::RequestVote {
                candidacy: candidacy(from)?,
                last: index(from)?,
                last_term: Term(from.try_get_u64_le()?),
            },
            VOTE => Self::Vote { pre: flag(from)?, granted: flag(from)? },
            APPEND => Self::Append {
                prev: index(from)?,
                prev_generation: generation(from)?,
                commit: index(from)?,
                round: round(from)?,
            },
            ACCEPTED => Self::Accepted { matched: index(from)?, round: round(from)? },
            REJECTED => Self::Rejected {
                prev: index(from)?,
                hint: index(from)?,
                hint_term: Term(from.try_get_u64_le()?),
                round: round(from)?,
            },
            HEARTBEAT => Self::Heartbeat {
                commit: index(from)?,
                commit_generation: generation(from)?,
                round: round(from)?,
            },
            HEARD => Self::Heard { round: round(from)?, priority: from.try_get_u8()? },
            COMMIT => Self::Commit { commit: index(from)?, commit_generation: generation(from)? },
            TIMEOUT_NOW => Self::TimeoutNow,
            _ => return Err(MessageError("its kind is unknown")),
        })
    }
}

fn put_position(out: &mut BytesMut, index: Index, generation: Generation) {
    out.put_u64_le(index.0);
    out.put_u64_le(generation.round);
    out.put_u64_le(generation.node.0);
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

fn candidacy(from: &mut Bytes) -> Result<Candidacy, MessageError> {
    match from.try_get_u8()? {
        1 => Ok(Candidacy::Pre),
        2 => Ok(Candidacy::Open),
        3 => Ok(Candidacy::Handed),
        _ => Err(MessageError("it asks for votes in an unknown way")),
    }
}

fn flag(from: &mut Bytes) -> Result<bool, MessageError> {
    match from.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(MessageError("a flag is neither 0 nor 1")),
    }
}
