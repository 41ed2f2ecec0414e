//! The byte form of messages, and of what no member says.

use bytes::{Bytes, BytesMut};
use consensus_api::{Generation, Index, Message as _, NodeId};
use quorate_raft::{Body, Candidacy, Message, ReadRound, Term};

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
