//! [`SessionId`] and [`SessionOp`]: how a command says whose it is, so that its repetition is harmless.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, TryGetError};
use serde::{Deserialize, Serialize};

use crate::{Applied, Index, PayloadError};

/// A client's session, by the place in the log at which it was opened. No two ever bear the same name, and every replica
/// gives the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SessionId {
    /// The entry that opened it.
    pub index: Index,
    /// The place within that entry.
    pub offset: u32,
}

impl From<Applied> for SessionId {
    fn from(at: Applied) -> Self {
        Self { index: at.index, offset: at.offset }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.offset)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session-{self}")
    }
}

/// What stands before a command in an entry of kind [`EntryKind::Sessions`](crate::EntryKind::Sessions).
///
/// Ongaro's thesis, section 6.3; *Patterns of Distributed Systems*, "Idempotent Receiver".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionOp {
    /// Opens a session. No command follows.
    Open {
        /// The session ends once it was not used for so long, in milliseconds of log time.
        idle_max_ms: u64,
    },
    /// The command behind this is to be carried out once, however often it comes.
    Command {
        /// Whose it is.
        session: SessionId,
        /// Its number within the session; the client gives each number to one command.
        sequence: u64,
        /// The client has the answers to all numbers below this one: they are forgotten.
        acknowledged: u64,
    },
    /// Ends a session, and forgets its answers. No command follows.
    Close {
        /// Which.
        session: SessionId,
    },
}

impl SessionOp {
    /// The most bytes of the byte form.
    pub const BYTES_MAX: usize = 1 + 12 + 16;

    /// Appends the byte form.
    ///
    /// ```text
    ///  1  idle_max_ms u64                                                     open
    ///  2  session index u64, offset u32, sequence u64, acknowledged u64       command
    ///  3  session index u64, offset u32                                       close
    /// ```
    pub fn encode(&self, out: &mut impl BufMut) {
        match *self {
            Self::Open { idle_max_ms } => {
                out.put_u8(1);
                out.put_u64_le(idle_max_ms);
            }
            Self::Command { session, sequence, acknowledged } => {
                out.put_u8(2);
                put_session(session, out);
                out.put_u64_le(sequence);
                out.put_u64_le(acknowledged);
            }
            Self::Close { session } => {
                out.put_u8(3);
                put_session(session, out);
            }
        }
    }

    /// Takes the byte form off the front of `from`; what is left is the command.
    ///
    /// # Errors
    /// [`PayloadError`] when the bytes begin with no such thing.
    pub fn decode(from: &mut Bytes) -> Result<Self, PayloadError> {
        let cut_short =
            |_: TryGetError| PayloadError("the session's part of a command is cut short".to_owned());
        let mut decode = || {
            Ok(match from.try_get_u8()? {
                1 => Some(Self::Open { idle_max_ms: from.try_get_u64_le()? }),
                2 => Some(Self::Command {
                    session: get_session(from)?,
                    sequence: from.try_get_u64_le()?,
                    acknowledged: from.try_get_u64_le()?,
                }),
                3 => Some(Self::Close { session: get_session(from)? }),
                _ => None,
            })
        };
        let op = decode().map_err(cut_short)?;
        op.ok_or_else(|| PayloadError("the session's part of a command is of an unknown kind".to_owned()))
    }
}

fn put_session(session: SessionId, out: &mut impl BufMut) {
    out.put_u64_le(session.index.0);
    out.put_u32_le(session.offset);
}

fn get_session(from: &mut Bytes) -> Result<SessionId, TryGetError> {
    Ok(SessionId { index: Index(from.try_get_u64_le()?), offset: from.try_get_u32_le()? })
}
