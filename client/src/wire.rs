//! What clients and members say to each other over TCP, byte by byte.
//!
//! ```text
//! client  8 bytes "qrclnt01", the version in it; u8 length and name of the cluster
//! member  u8 0: welcome;  or u8 1, u16 length and the reason of the refusal
//!
//! then frames, both ways, in any order:
//!   u32  length of what follows the checksum     u32  CRC32C of it
//!   u64  number: a reply bears its request's
//!   u8   kind, and by kind:
//!     1  request in a session   the session's part (see SessionOp), then the command
//!     2  question               u8 level (1 linearizable, 2 lease, 3 at least, 4 stale), u64 index or milliseconds,
//!                               then the question
//!     3  reply                  u8 1 and u64 leader, or u8 0; then
//!                               u8 1 opened      u64 index of entry, u64 session index, u32 session offset
//!                               u8 2 answered    u64 index of entry, then the answer
//!                               u8 3 carried out u64 index of entry
//!                               u8 4 closed      u64 index of entry
//!                               u8 5 answer to a question
//!                               u8 6 error       u8 which, u64, u64, then its text
//! ```
//!
//! All numbers are little-endian. A length is checked before anything is allocated for it.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use consensus_api::{Error, Index, NodeId, SessionId, SessionOp};
use node::{ReadLevel, SessionAnswer};

use crate::endpoint::{Reply, Request};

pub(crate) const MAGIC: &[u8; 8] = b"qrclnt01";
pub(crate) const WELCOME: u8 = 0;
pub(crate) const REFUSED: u8 = 1;
/// The length and the checksum before a frame's contents.
pub(crate) const HEADER_BYTES: usize = 8;
/// The largest answer.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The most that a frame holds beside a command, a question or an answer.
pub(crate) const OVERHEAD_BYTES: usize = 64;

/// Bytes that make no sense. The connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireError(pub(crate) &'static str);

impl From<TryGetError> for WireError {
    fn from(_: TryGetError) -> Self {
        Self("a frame is cut short")
    }
}

/// A reply, and the leader that the member knows of.
pub(crate) type Answered = (Option<NodeId>, Result<Reply, Error>);

/// The length and the checksum of the frame that begins like this.
pub(crate) fn header(mut bytes: &[u8]) -> Result<(usize, u32), WireError> {
    Ok((bytes.try_get_u32_le()? as usize, bytes.try_get_u32_le()?))
}

/// Whether these contents are what was sent.
pub(crate) fn check(contents: &[u8], checksum: u32) -> Result<(), WireError> {
    if crc32c::crc32c(contents) == checksum { Ok(()) } else { Err(WireError("a frame's checksum is wrong")) }
}

fn frame(number: u64, kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::zeroed(HEADER_BYTES);
    out.put_u64_le(number);
    out.put_u8(kind);
    body(&mut out);
    let (len, checksum) = ((out.len() - HEADER_BYTES) as u32, crc32c::crc32c(&out[HEADER_BYTES..]));
    out[..4].copy_from_slice(&len.to_le_bytes());
    out[4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out.freeze()
}

/// A request as a frame.
pub(crate) fn encode_request(number: u64, request: &Request) -> Bytes {
    match request {
        Request::Session { op, command } => frame(number, 1, |out| {
            op.encode(out);
            out.put_slice(command);
        }),
        Request::Query { level, query } => frame(number, 2, |out| {
            let millis = |lag: &Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
            let (kind, argument) = match level {
                ReadLevel::Lease => (2, 0),
                ReadLevel::AtLeast(index) => (3, index.0),
                ReadLevel::Stale { max_lag } => (4, millis(max_lag)),
                _ => (1, 0),
            };
            out.put_u8(kind);
            out.put_u64_le(argument);
            out.put_slice(query);
        }),
    }
}

/// Reads a request out of a frame's contents.
pub(crate) fn decode_request(mut from: Bytes) -> Result<(u64, Request), WireError> {
    let number = from.try_get_u64_le()?;
    let request = match from.try_get_u8()? {
        1 => {
            let op =
                SessionOp::decode(&mut from).map_err(|_| WireError("a request's session makes no sense"))?;
            Request::Session { op, command: from }
        }
        2 => {
            let (kind, argument) = (from.try_get_u8()?, from.try_get_u64_le()?);
            let level = match kind {
                1 => ReadLevel::Linearizable,
                2 => ReadLevel::Lease,
                3 => ReadLevel::AtLeast(Index(argument)),
                4 => ReadLevel::Stale { max_lag: Duration::from_millis(argument) },
                _ => return Err(WireError("an unknown read level")),
            };
            Request::Query { level, query: from }
        }
        _ => return Err(WireError("an unknown kind of request")),
    };
    Ok((number, request))
}

/// A reply as a frame.
pub(crate) fn encode_reply(number: u64, (leader, reply): &Answered) -> Bytes {
    frame(number, 3, |out| {
        out.put_u8(u8::from(leader.is_some()));
        if let Some(leader) = leader {
            out.put_u64_le(leader.0);
        }
        let mut begin = |tag: u8, index: &Index| {
            out.put_u8(tag);
            out.put_u64_le(index.0);
        };
        match reply {
            Ok(Reply::Session(index, SessionAnswer::Opened(session))) => {
                begin(1, index);
                put_session(*session, out);
            }
            Ok(Reply::Session(index, SessionAnswer::Answered(answer))) => {
                begin(2, index);
                out.put_slice(answer);
            }
            Ok(Reply::Session(index, SessionAnswer::CarriedOut)) => begin(3, index),
            Ok(Reply::Session(index, SessionAnswer::Closed)) => begin(4, index),
            Ok(Reply::Query(answer)) => {
                out.put_u8(5);
                out.put_slice(answer);
            }
            Err(error) => {
                out.put_u8(6);
                put_error(error, out);
            }
        }
    })
}

/// Reads a reply out of a frame's contents.
pub(crate) fn decode_reply(mut from: Bytes) -> Result<(u64, Answered), WireError> {
    let number = from.try_get_u64_le()?;
    if from.try_get_u8()? != 3 {
        return Err(WireError("an unknown kind of reply"));
    }
    let leader = if from.try_get_u8()? == 0 { None } else { Some(NodeId(from.try_get_u64_le()?)) };
    let in_session = |index, answer| Ok(Reply::Session(Index(index), answer));
    let reply = match from.try_get_u8()? {
        1 => in_session(from.try_get_u64_le()?, SessionAnswer::Opened(get_session(&mut from)?)),
        2 => in_session(from.try_get_u64_le()?, SessionAnswer::Answered(from)),
        3 => in_session(from.try_get_u64_le()?, SessionAnswer::CarriedOut),
        4 => in_session(from.try_get_u64_le()?, SessionAnswer::Closed),
        5 => Ok(Reply::Query(from)),
        6 => Err(get_error(&mut from)?),
        _ => return Err(WireError("an unknown reply")),
    };
    Ok((number, (leader, reply)))
}

fn put_session(session: SessionId, out: &mut BytesMut) {
    out.put_u64_le(session.index.0);
    out.put_u32_le(session.offset);
}

fn get_session(from: &mut Bytes) -> Result<SessionId, WireError> {
    Ok(SessionId { index: Index(from.try_get_u64_le()?), offset: from.try_get_u32_le()? })
}

/// What a member says when it cannot tell what became of a request.
const UNKNOWN_THERE: &str = "the member that was asked cannot tell";

fn put_error(error: &Error, out: &mut BytesMut) {
    let (which, one, two, text) = match error {
        Error::NoLeader { waited, removed } => {
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            (1, waited_ms, removed.map_or(0, |at| at.0), "")
        }
        Error::Busy { bytes_max } => (2, *bytes_max as u64, 0, ""),
        Error::TooLarge { bytes, bytes_max } => (3, *bytes as u64, *bytes_max as u64, ""),
        Error::Refused { reason } => (4, 0, 0, reason.as_str()),
        Error::StorageFull => (6, 0, 0, ""),
        Error::Stopped { cause } => (7, 0, 0, &**cause),
        Error::SessionExpired { session } => (8, session.index.0, u64::from(session.offset), ""),
        // An error that this version cannot put into words says nothing about what happened.
        _ => (5, 0, 0, ""),
    };
    out.put_u8(which);
    out.put_u64_le(one);
    out.put_u64_le(two);
    out.put_slice(text.as_bytes());
}

fn get_error(from: &mut Bytes) -> Result<Error, WireError> {
    let (which, one, two) = (from.try_get_u8()?, from.try_get_u64_le()?, from.try_get_u64_le()?);
    let text = || String::from_utf8_lossy(from).into_owned();
    Ok(match which {
        1 => Error::NoLeader { waited: Duration::from_millis(one), removed: (two > 0).then_some(Index(two)) },
        2 => Error::Busy { bytes_max: one as usize },
        3 => Error::TooLarge { bytes: one as usize, bytes_max: two as usize },
        4 => Error::Refused { reason: text() },
        6 => Error::StorageFull,
        7 => Error::Stopped { cause: text().into() },
        8 => Error::SessionExpired { session: SessionId { index: Index(one), offset: two as u32 } },
        _ => Error::OutcomeUnknown { reason: UNKNOWN_THERE },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> Vec<Result<Reply, Error>> {
        let session = SessionId { index: Index(7), offset: 3 };
        let (index, text) = (Index(9), || "why".to_owned());
        vec![
            Ok(Reply::Session(index, SessionAnswer::Opened(session))),
            Ok(Reply::Session(index, SessionAnswer::Answered(Bytes::from_static(b"so much")))),
            Ok(Reply::Session(index, SessionAnswer::CarriedOut)),
            Ok(Reply::Session(index, SessionAnswer::Closed)),
            Ok(Reply::Query(Bytes::new())),
            Err(Error::NoLeader { waited: Duration::from_millis(5), removed: None }),
            Err(Error::NoLeader { waited: Duration::ZERO, removed: Some(index) }),
            Err(Error::Busy { bytes_max: 6 }),
            Err(Error::TooLarge { bytes: 2, bytes_max: 1 }),
            Err(Error::Refused { reason: text() }),
            Err(Error::OutcomeUnknown { reason: UNKNOWN_THERE }),
            Err(Error::StorageFull),
            Err(Error::Stopped { cause: text().into() }),
            Err(Error::SessionExpired { session }),
        ]
    }

    fn contents(frame: &Bytes) -> Bytes {
        let (len, checksum) = header(frame).unwrap();
        assert_eq!(frame.len(), HEADER_BYTES + len);
        check(&frame[HEADER_BYTES..], checksum).unwrap();
        frame.slice(HEADER_BYTES..)
    }

    #[test]
    fn every_reply_comes_back() {
        for reply in samples() {
            for leader in [None, Some(NodeId(4))] {
                let answered = (leader, reply.clone());
                let frame = encode_reply(11, &answered);
                assert_eq!(decode_reply(contents(&frame)), Ok((11, answered)));
            }
        }
    }

    #[test]
    fn every_request_comes_back() {
        let session = SessionId { index: Index(7), offset: 3 };
        let op = SessionOp::Command { session, sequence: 2, acknowledged: 1 };
        let lag = ReadLevel::Stale { max_lag: Duration::from_millis(1500) };
        let levels = [ReadLevel::Linearizable, ReadLevel::Lease, ReadLevel::AtLeast(Index(8)), lag];
        let text = || Bytes::from_static(b"x");
        let queries = levels.map(|level| Request::Query { level, query: text() });
        for request in queries.into_iter().chain([Request::Session { op, command: text() }]) {
            let frame = encode_request(5, &request);
            assert_eq!(decode_request(contents(&frame)), Ok((5, request)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 0..9_u8, noise: Vec<u8>) {
            let mut bytes = vec![0; 8];
            bytes.push(kind);
            bytes.extend(noise);
            let bytes = Bytes::from(bytes);
            let _ = decode_request(bytes.clone());
            let _ = decode_reply(bytes.clone());
            let _ = header(&bytes);
        }
    }
}
