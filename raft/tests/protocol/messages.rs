//! The byte form of messages, and of what no member says.

use bytes::{Bytes, BytesMut};
use consensus_api::{Generation, Index, Message as _, MessageError, NodeId, PROTOCOL_VERSION, ReadRound};
use quorate_raft::{Body, Candidacy, Message, Term};

fn one_of_each() -> Vec<Message> {
    let (index, round, commit_generation) =
        (Index(1 << 40), ReadRound(7), Generation::new(3, NodeId(1 << 60)));
    let prev_generation = commit_generation;
    [
        Body::RequestVote { candidacy: Candidacy::Handed, last: index, last_term: Term(9) },
        Body::Vote { pre: false, granted: true },
        Body::Append { prev: index, prev_generation, commit: Index(5), round },
        Body::Accepted { matched: index, round },
        Body::Rejected { prev: index, hint: Index(4), hint_term: Term(2), round },
        Body::Heartbeat { commit: index, commit_generation, round },
        Body::Heard { round, priority: 3 },
        Body::Commit { commit: index, commit_generation },
        Body::TimeoutNow,
    ]
    .map(|body| Message { term: Term(u64::MAX - 1), body })
    .to_vec()
}

fn encode(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze()
}

/// The bytes of each, in protocol version 1: the kind, the term, and the fields in their order, little-endian.
const GOLDEN: [&str; 9] = [
    "01 feffffffffffffff 0300000000000100 0009000000000000 00",
    "02 feffffffffffffff 0001",
    "03 feffffffffffffff 0000000000010000 0300000000000000 0000000000000010 0500000000000000
     0700000000000000",
    "04 feffffffffffffff 0000000000010000 0700000000000000",
    "05 feffffffffffffff 0000000000010000 0400000000000000 0200000000000000 0700000000000000",
    "06 feffffffffffffff 0000000000010000 0300000000000000 0000000000000010 0700000000000000",
    "07 feffffffffffffff 0700000000000000 03",
    "08 feffffffffffffff 0000000000010000 0300000000000000 0000000000000010",
    "09 feffffffffffffff",
];

/// When this fails, nodes of the old build and the new one no longer understand each other: raise `PROTOCOL_VERSION`,
/// and put the new bytes here beside the old ones.
#[test]
fn the_bytes_of_protocol_version_1() {
    assert_eq!(PROTOCOL_VERSION, 1, "the bytes below are those of version 1");
    let bytes = one_of_each().iter().map(|message| format!("{:x}", encode(message))).collect::<Vec<_>>();
    assert_eq!(bytes, GOLDEN.map(|golden| golden.split_whitespace().collect::<String>()));
    // None is missing: whatever kind the decoder knows is above.
    for kind in 0..=u8::MAX {
        let noise = Bytes::from([&[kind][..], &[0; 100]].concat());
        let is_known = Message::decode(noise) != Err(MessageError("its kind is unknown"));
        assert_eq!(is_known, GOLDEN.iter().any(|bytes| bytes.starts_with(&format!("{kind:02x}"))), "{kind}");
    }
}

#[test]
fn every_message_comes_back_as_it_was() {
    for message in one_of_each() {
        assert_eq!(Message::decode(encode(&message)), Ok(message));
    }
}

#[test]
fn what_is_cut_short_or_too_long_is_no_message() {
    for message in one_of_each() {
        let bytes = encode(&message);
        for cut in 0..bytes.len() {
            assert!(Message::decode(bytes.slice(..cut)).is_err(), "{message:?} cut at {cut}");
        }
        let mut longer = BytesMut::from(&bytes[..]);
        longer.extend_from_slice(&[0]);
        assert!(Message::decode(longer.freeze()).is_err());
    }
}

/// Whatever a byte is changed to, the result is another message or none, and encodes to the very bytes it came from.
#[test]
fn damaged_bytes_decode_to_an_error_or_to_what_they_say() {
    for message in one_of_each() {
        let bytes = encode(&message);
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut damaged = BytesMut::from(&bytes[..]);
                damaged[at] = value;
                let damaged = damaged.freeze();
                if let Ok(decoded) = Message::decode(damaged.clone()) {
                    assert_eq!(encode(&decoded), damaged);
                }
            }
        }
    }
}
