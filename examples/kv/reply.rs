//! [`Reply`]: what a client is told, and how it stands on the wire, in RESP2 and RESP3.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use quorate::Error;

use crate::command::{Refusal, Response};

/// One answer. Errors are sentences that begin with a word for programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Simple(&'static str),
    Error(Cow<'static, str>),
    Integer(i64),
    Bulk(Bytes),
    Nil,
    /// Where an array was expected.
    NilArray,
    Array(Vec<Reply>),
    /// Keys and values. In RESP2 a flat array.
    Map(Vec<(Reply, Reply)>),
}

/// The version of the protocol. A client chooses with HELLO.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Reply {
    pub const OK: Self = Self::Simple("OK");
    pub const SYNTAX_ERROR: Self = Self::Error(Cow::Borrowed("ERR syntax error"));
    pub const NOT_AN_INTEGER: Self =
        Self::Error(Cow::Borrowed("ERR value is not an integer or out of range"));
    pub const TOO_LONG: Self =
        Self::Error(Cow::Borrowed("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));

    /// An error with a text made up for the occasion.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(Cow::Owned(text.into()))
    }

    /// A bulk string.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::Bulk(text.into())
    }

    /// How many there are of something.
    pub fn count(count: impl TryInto<i64>) -> Self {
        Self::Integer(count.try_into().unwrap_or(i64::MAX))
    }

    /// Appends the byte form.
    pub fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => line(out, b'+', text.as_bytes()),
            Self::Error(text) => error_line(out, text),
            Self::Integer(integer) => head(out, b':', *integer),
            Self::Bulk(bytes) => {
                head(out, b'$', bytes.len());
                out.reserve(bytes.len() + 2);
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Self::Nil if protocol == Protocol::Resp2 => out.put_slice(b"$-1\r\n"),
            Self::NilArray if protocol == Protocol::Resp2 => out.put_slice(b"*-1\r\n"),
            Self::Nil | Self::NilArray => out.put_slice(b"_\r\n"),
            Self::Array(replies) => {
                head(out, b'*', replies.len());
                for reply in replies {
                    reply.write(protocol, out);
                }
            }
            Self::Map(pairs) => {
                match protocol {
                    Protocol::Resp2 => head(out, b'*', pairs.len() * 2),
                    Protocol::Resp3 => head(out, b'%', pairs.len()),
                }
                for (key, value) in pairs {
                    key.write(protocol, out);
                    value.write(protocol, out);
                }
            }
        }
    }
}

fn line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.put_u8(kind);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn head(out: &mut BytesMut, kind: u8, number: impl Display) {
    out.put_u8(kind);
    write!(out.writer(), "{number}\r\n").expect("a buffer in memory takes everything");
}

/// An error is one line, whatever a client's bytes have brought into it.
fn error_line(out: &mut BytesMut, text: &str) {
    let start = out.len() + 1;
    line(out, b'-', text.as_bytes());
    let end = out.len() - 2;
    for byte in &mut out[start..end] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        match response {
            Response::Ok => Self::OK,
            Response::Nil => Self::Nil,
            Response::Integer(integer) => Self::Integer(integer),
            Response::Value(bytes) => Self::Bulk(bytes),
            Response::Values(values) => {
                Self::Array(values.into_iter().map(|value| value.map_or(Self::Nil, Self::Bulk)).collect())
            }
            Response::Page { cursor, keys } => {
                let keys = Self::Array(keys.into_iter().map(Self::Bulk).collect());
                Self::Array(vec![Self::text(cursor.to_string()), keys])
            }
            Response::Many(responses) => Self::Array(responses.into_iter().map(Self::from).collect()),
            Response::Aborted => Self::NilArray,
            Response::TypeString => Self::Simple("string"),
            Response::TypeNone => Self::Simple("none"),
            Response::Refused(Refusal::NotAnInteger) => Self::NOT_AN_INTEGER,
            Response::Refused(Refusal::Overflow) => {
                Self::Error("ERR increment or decrement would overflow".into())
            }
            Response::Refused(Refusal::TooLong) => Self::TOO_LONG,
            Response::Refused(Refusal::Nested) => Self::Error("ERR MULTI calls can not be nested".into()),
        }
    }
}

/// The first word tells a client what to do: after CLUSTERDOWN the command did not happen and may be sent again, after
/// TIMEOUT it may have happened.
impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge { .. } => Self::TOO_LONG,
            error if error.may_have_happened() => Self::error(format!("TIMEOUT {error}")),
            error => Self::error(format!("CLUSTERDOWN {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        reply.write(protocol, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn replies_stand_on_the_wire_as_the_protocol_says() {
        let map = Reply::Map(vec![(Reply::text("a"), Reply::Integer(-1)), (Reply::text("b"), Reply::Nil)]);
        let table = [
            (Reply::OK, "+OK\r\n", "+OK\r\n"),
            (Reply::Integer(999_999_999_999_999_999), ":999999999999999999\r\n", ":999999999999999999\r\n"),
            (Reply::text("ab\r\n"), "$4\r\nab\r\n\r\n", "$4\r\nab\r\n\r\n"),
            (Reply::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (Reply::Array(vec![Reply::Nil]), "*1\r\n$-1\r\n", "*1\r\n_\r\n"),
            (map, "*4\r\n$1\r\na\r\n:-1\r\n$1\r\nb\r\n$-1\r\n", "%2\r\n$1\r\na\r\n:-1\r\n$1\r\nb\r\n_\r\n"),
        ];
        for (reply, resp2, resp3) in table {
            assert_eq!(written(&reply, Protocol::Resp2), resp2);
            assert_eq!(written(&reply, Protocol::Resp3), resp3);
        }
    }

    #[test]
    fn the_first_word_of_an_error_says_whether_it_may_have_happened() {
        let first_word = |error: Error| match Reply::from(error) {
            Reply::Error(text) => text.split(' ').next().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(first_word(Error::StorageFull), "CLUSTERDOWN");
        assert_eq!(first_word(Error::Busy { bytes_max: 1 }), "CLUSTERDOWN");
        assert_eq!(first_word(Error::Stopped { cause: "it was asked to".into() }), "CLUSTERDOWN");
        assert_eq!(first_word(Error::OutcomeUnknown { reason: "the leader is gone" }), "TIMEOUT");
        assert_eq!(first_word(Error::TooLarge { bytes: 2, bytes_max: 1 }), "ERR");
    }
}
