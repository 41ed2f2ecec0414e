//! [`Message`]: what the keepers of registers say to each other, and its byte form.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Generation, Lane, MessageError};

use super::acceptor::Accepted;
use super::state::{State, flag, put_bytes, put_generation, take_bytes, take_generation};

/// What one keeper says to another of one register.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Message {
    /// The register.
    pub key: Bytes,
    /// The ballot it is about; in [`Look`](Body::Look) and its answer, the number of the question.
    pub ballot: Generation,
    /// What is said.
    pub body: Body,
}

/// The kinds of message.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Body {
    /// Phase 1: promise this ballot.
    Prepare,
    /// Answers [`Prepare`](Self::Prepare): it is promised, durably, and this was accepted last.
    Promise(Option<Accepted>),
    /// Phase 2: accept this state.
    Accept(State),
    /// Answers [`Accept`](Self::Accept): it is accepted, durably.
    Accepted,
    /// A higher ballot has been promised.
    Nack(Generation),
    /// Asks what was accepted last. Promises nothing.
    Look,
    /// Answers [`Look`](Self::Look).
    Seen(Option<Accepted>),
}

const PREPARE: u8 = 1;
const PROMISE: u8 = 2;
const ACCEPT: u8 = 3;
const ACCEPTED: u8 = 4;
const NACK: u8 = 5;
const LOOK: u8 = 6;
const SEEN: u8 = 7;

impl consensus_api::Message for Message {
    fn lane(&self) -> Lane {
        Lane::Data
    }

    fn encode(&self, out: &mut BytesMut) {
        let kind = match &self.body {
            Body::Prepare => PREPARE,
            Body::Promise(_) => PROMISE,
            Body::Accept(_) => ACCEPT,
            Body::Accepted => ACCEPTED,
            Body::Nack(_) => NACK,
            Body::Look => LOOK,
            Body::Seen(_) => SEEN,
        };
        out.put_u8(kind);
        put_bytes(out, &self.key);
        put_generation(out, self.ballot);
        match &self.body {
            Body::Promise(accepted) | Body::Seen(accepted) => put_accepted(out, accepted.as_ref()),
            Body::Accept(state) => state.encode(out),
            Body::Nack(promised) => put_generation(out, *promised),
            Body::Prepare | Body::Accepted | Body::Look => {}
        }
    }

    fn decode(mut bytes: Bytes) -> Result<Self, MessageError> {
        let from = &mut bytes;
        let kind = from.try_get_u8()?;
        let (key, ballot) = (take_bytes(from)?, take_generation(from)?);
        let body = match kind {
            PREPARE => Body::Prepare,
            PROMISE => Body::Promise(take_accepted(from)?),
            ACCEPT => Body::Accept(State::decode(from)?),
            ACCEPTED => Body::Accepted,
            NACK => Body::Nack(take_generation(from)?),
            LOOK => Body::Look,
            SEEN => Body::Seen(take_accepted(from)?),
            _ => return Err(MessageError("its kind is unknown")),
        };
        if !from.is_empty() {
            return Err(MessageError("bytes are left over"));
        }
        Ok(Self { key, ballot, body })
    }
}

pub(super) fn put_accepted(out: &mut BytesMut, accepted: Option<&Accepted>) {
    out.put_u8(u8::from(accepted.is_some()));
    if let Some(Accepted { ballot, state }) = accepted {
        put_generation(out, *ballot);
        state.encode(out);
    }
}

pub(super) fn take_accepted(from: &mut Bytes) -> Result<Option<Accepted>, MessageError> {
    if !flag(from)? {
        return Ok(None);
    }
    Ok(Some(Accepted { ballot: take_generation(from)?, state: State::decode(from)? }))
}
