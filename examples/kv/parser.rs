//! [`Parser`]: a client's bytes become words.
//!
//! A command is an array of bulk strings. Each string is read by the `redis-protocol` crate. The array around them is
//! walked here, for three reasons: what has been read is not read again when the rest arrives in pieces, an array within
//! an array cannot lead to recursion, and limits hold before anything is stored. The words share the bytes of the
//! buffer they arrived in.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;
use thiserror::Error;

use crate::{inline, integer};

/// The most words a command may have.
const WORDS_MAX: i64 = 1024 * 1024;
/// The longest line: a command typed by hand.
const LINE_BYTES_MAX: usize = 64 << 10;
/// The longest line that announces how much follows: a sign, twenty digits and some room.
const HEAD_BYTES_MAX: usize = 32;
/// The words that buffers keep room for, after a command that had more.
const WORDS_KEPT: usize = 64;

/// What arrived is not the Redis protocol. Where the next command would begin is unknown, so the connection is closed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("ERR Protocol error: {0}")]
pub struct ProtocolError(String);

/// Where the reading of a connection's bytes stands.
#[derive(Debug)]
pub struct Parser {
    request_bytes_max: usize,
    /// Of the array begun: how many words it has. `None` between commands.
    announced: Option<usize>,
    /// The words found so far, as places in the buffer.
    found: Vec<Range<usize>>,
    /// How much of the buffer has been read.
    position: usize,
}

impl Parser {
    pub fn new(request_bytes_max: usize) -> Self {
        Self { request_bytes_max, announced: None, found: Vec::new(), position: 0 }
    }

    /// Takes the next whole command out of `input`, and puts its words into `words`. `false` if more must arrive first.
    pub fn next(&mut self, input: &mut BytesMut, words: &mut Vec<Bytes>) -> Result<bool, ProtocolError> {
        words.clear();
        words.shrink_to(WORDS_KEPT);
        while words.is_empty() {
            let whole = match (self.announced, input.first()) {
                (None, None) => false,
                (None, Some(b'*')) => self.array_head(input)? && self.strings(input, words)?,
                (None, Some(_)) => inline_command(input, words)?,
                (Some(_), _) => self.strings(input, words)?,
            };
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads `*3` and the end of the line.
    fn array_head(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some(head) = head_line(input, "too big mbulk count string")? else { return Ok(false) };
        let count = integer::parse(&head[1..]).filter(|count| *count <= WORDS_MAX);
        let count = count.ok_or_else(|| ProtocolError("invalid multibulk length".into()))?;
        self.announced = Some(usize::try_from(count).unwrap_or(0));
        self.position = head.len() + 2;
        Ok(true)
    }

    /// Reads the strings of the array, and once all are there takes them out of the buffer.
    fn strings(&mut self, input: &mut BytesMut, words: &mut Vec<Bytes>) -> Result<bool, ProtocolError> {
        while self.found.len() < self.announced.unwrap_or(0) {
            let rest = &input[self.position..];
            if rest.first().is_some_and(|kind| *kind != b'$') {
                return Err(ProtocolError(format!("expected '$', got '{}'", rest[0].escape_ascii())));
            }
            match decode_range(rest) {
                Ok(Some((RangeFrame::BulkString((start, end)), length))) => {
                    self.found.push(self.position + start..self.position + end);
                    self.position += length;
                }
                Ok(None) => {
                    let head = head_line(rest, "too big bulk count string")?;
                    let length = head.and_then(|head| usize::try_from(integer::parse(&head[1..])?).ok());
                    if length.is_some_and(|length| length > self.request_bytes_max) {
                        return Err(ProtocolError("invalid bulk length".into()));
                    }
                    return self.within_limit(input.len()).map(|()| false);
                }
                _ => return Err(ProtocolError("invalid bulk length".into())),
            }
        }
        self.within_limit(self.position)?;
        let command = input.split_to(self.position).freeze();
        words.extend(self.found.drain(..).map(|place| command.slice(place)));
        self.found.shrink_to(WORDS_KEPT);
        (self.announced, self.position) = (None, 0);
        Ok(true)
    }

    fn within_limit(&self, bytes: usize) -> Result<(), ProtocolError> {
        if bytes <= self.request_bytes_max {
            return Ok(());
        }
        Err(ProtocolError(format!("a command is limited to {} bytes", self.request_bytes_max)))
    }
}

/// The line at the beginning, without its end; `None` if the end has not arrived.
fn head_line<'a>(input: &'a [u8], too_long: &str) -> Result<Option<&'a [u8]>, ProtocolError> {
    let window = &input[..input.len().min(HEAD_BYTES_MAX)];
    match window.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(&input[..end])),
        None if input.len() < HEAD_BYTES_MAX => Ok(None),
        None => Err(ProtocolError(too_long.into())),
    }
}

/// Reads a line of words; an empty one has none.
fn inline_command(input: &mut BytesMut, words: &mut Vec<Bytes>) -> Result<bool, ProtocolError> {
    let window = &input[..input.len().min(LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        let too_long = window.len() == LINE_BYTES_MAX;
        return if too_long { Err(ProtocolError("too big inline request".into())) } else { Ok(false) };
    };
    let line = input.split_to(end + 1).freeze();
    *words = inline::words(&line).ok_or_else(|| ProtocolError("unbalanced quotes in request".into()))?;
    Ok(true)
}

#[cfg(test)]
mod tests;
