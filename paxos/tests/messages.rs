//! The byte form of messages, of all three: held byte by byte, and whatever they are damaged to.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use consensus_api::{Generation, Index, Message, MessageError, NodeId, PROTOCOL_VERSION, ReadRound};
use quorate_paxos::{self as multi, register, single};

const fn ballot(round: u64) -> Generation {
    Generation { round, node: NodeId(0x0102_0304_0506_0708) }
}

fn encode(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode(&mut out);
    out.freeze()
}

/// One message of each kind has these bytes, in protocol version 1: the kind, what it is about, and the fields in their
/// order, little-endian.
///
/// When this fails, nodes of the old build and the new one no longer understand each other: raise `PROTOCOL_VERSION`, and
/// put the new bytes beside the old ones.
fn are_held<M: Message + PartialEq + Debug>(messages: &[M], golden: &[&str]) {
    assert_eq!(PROTOCOL_VERSION, 1, "the bytes below are those of version 1");
    let bytes: Vec<_> = messages.iter().map(|message| format!("{:x}", encode(message))).collect();
    let golden: Vec<String> = golden.iter().map(|bytes| bytes.split_whitespace().collect()).collect();
    assert_eq!(bytes, golden);
    // None is missing: whatever kind the decoder knows is among them.
    for kind in 0..=u8::MAX {
        let noise = Bytes::from([&[kind][..], &[0; 100]].concat());
        let is_known = M::decode(noise) != Err(MessageError("its kind is unknown"));
        assert_eq!(is_known, golden.iter().any(|bytes| bytes.starts_with(&format!("{kind:02x}"))), "{kind}");
    }
}

/// They come back as they were. A part of one is none, nor is one with more behind it; and whatever a byte is changed to,
/// the result is another message or none, and encodes to the very bytes it came from.
fn are_told_from_others<M: Message + PartialEq + Debug>(messages: &[M]) {
    for message in messages {
        let bytes = encode(message);
        assert_eq!(M::decode(bytes.clone()).as_ref(), Ok(message));
        for cut in 0..bytes.len() {
            assert!(M::decode(bytes.slice(..cut)).is_err(), "{message:?} cut at {cut}");
        }
        assert!(M::decode([&bytes[..], &[0]].concat().into()).is_err());
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut damaged = BytesMut::from(&bytes[..]);
                damaged[at] = value;
                let damaged = damaged.freeze();
                if let Ok(decoded) = M::decode(damaged.clone()) {
                    assert_eq!(encode(&decoded), damaged);
                }
            }
        }
    }
}

fn of_multi_paxos() -> Vec<multi::Message> {
    use multi::{Body, Tidings};

    let (first, last, commit, round) = (Index(0x11), Index(0x22), Index(0x33), ReadRound(0x44));
    let tidings = Tidings { commit, barrier: Index(0x55), round, window: 0x77 };
    [
        Body::PreElect { commit },
        Body::PreElectAck { agreed: true, commit, promised: ballot(2) },
        Body::Prepare { from: first, after: ballot(4), window: 0x77 },
        Body::Promise { from: first, upto: Index(0x66), accepted: ballot(2), commit, last },
        Body::Nack { promised: ballot(3) },
        Body::Accept(tidings),
        Body::Accepted { first, last, commit, round },
        Body::Heartbeat(tidings),
        Body::Heard { commit, round, remembered: last },
        Body::Commit(tidings),
        Body::Ask { from: first },
        Body::Learn { commit },
        Body::TakeOver,
        Body::AcceptNoops { tidings, first, last },
    ]
    .map(|body| multi::Message { ballot: ballot(1), body })
    .to_vec()
}

fn of_paxos() -> Vec<single::Message> {
    use single::{Body, PollRound, Won};

    let (slot, last, commit, round) = (Index(0x11), Index(0x22), Index(0x33), PollRound(0x44));
    let won = Won { first: Index(0x55), last };
    [
        Body::Prepare { slot },
        Body::Promise { slot, accepted: ballot(2), last },
        Body::Nack { promised: ballot(3) },
        Body::Fetch { slot, accepted: ballot(2) },
        Body::Value { slot },
        Body::Accept { won },
        Body::Accepted { slot },
        Body::Chosen { won },
        Body::Poll { round },
        Body::Polled { round, last, commit },
        Body::Status { commit },
        Body::Ask { from: slot },
        Body::Learn { commit },
    ]
    .map(|body| single::Message { ballot: ballot(1), body })
    .to_vec()
}

fn of_registers() -> Vec<register::Message> {
    use register::{Accepted, Body, State};

    let mut state = State::default();
    state.version = 0x11;
    state.value = Some(Bytes::from_static(b"value"));
    let accepted = Some(Accepted { ballot: ballot(2), state: state.clone() });
    [
        Body::Prepare,
        Body::Promise(accepted),
        Body::Accept(state),
        Body::Accepted,
        Body::Nack(ballot(3)),
        Body::Look,
        Body::Seen(None),
    ]
    .map(|body| register::Message { key: Bytes::from_static(b"key"), ballot: ballot(1), body })
    .to_vec()
}

const GOLDEN_OF_MULTI_PAXOS: [&str; 14] = [
    "01 0100000000000000 0807060504030201 3300000000000000",
    "02 0100000000000000 0807060504030201 0133000000000000 0002000000000000 0008070605040302 01",
    "03 0100000000000000 0807060504030201 1100000000000000 0400000000000000 0807060504030201
     7700000000000000",
    "04 0100000000000000 0807060504030201 1100000000000000 6600000000000000 0200000000000000
     0807060504030201 3300000000000000 2200000000000000",
    "05 0100000000000000 0807060504030201 0300000000000000 0807060504030201",
    "06 0100000000000000 0807060504030201 3300000000000000 5500000000000000 4400000000000000
     7700000000000000",
    "07 0100000000000000 0807060504030201 1100000000000000 2200000000000000 3300000000000000
     4400000000000000",
    "08 0100000000000000 0807060504030201 3300000000000000 5500000000000000 4400000000000000
     7700000000000000",
    "09 0100000000000000 0807060504030201 3300000000000000 4400000000000000 2200000000000000",
    "0a 0100000000000000 0807060504030201 3300000000000000 5500000000000000 4400000000000000
     7700000000000000",
    "0b 0100000000000000 0807060504030201 1100000000000000",
    "0c 0100000000000000 0807060504030201 3300000000000000",
    "0d 0100000000000000 0807060504030201",
    "0e 0100000000000000 0807060504030201 3300000000000000 5500000000000000 4400000000000000
     7700000000000000 1100000000000000 2200000000000000",
];

#[test]
fn the_bytes_of_multi_paxos() {
    are_held(&of_multi_paxos(), &GOLDEN_OF_MULTI_PAXOS);
    are_told_from_others(&of_multi_paxos());
}

const GOLDEN_OF_PAXOS: [&str; 13] = [
    "01 0100000000000000 0807060504030201 1100000000000000",
    "02 0100000000000000 0807060504030201 1100000000000000 0200000000000000 0807060504030201
     2200000000000000",
    "03 0100000000000000 0807060504030201 0300000000000000 0807060504030201",
    "04 0100000000000000 0807060504030201 1100000000000000 0200000000000000 0807060504030201",
    "05 0100000000000000 0807060504030201 1100000000000000",
    "06 0100000000000000 0807060504030201 5500000000000000 2200000000000000",
    "07 0100000000000000 0807060504030201 1100000000000000",
    "08 0100000000000000 0807060504030201 5500000000000000 2200000000000000",
    "09 0100000000000000 0807060504030201 4400000000000000",
    "0a 0100000000000000 0807060504030201 4400000000000000 2200000000000000 3300000000000000",
    "0b 0100000000000000 0807060504030201 3300000000000000",
    "0c 0100000000000000 0807060504030201 1100000000000000",
    "0d 0100000000000000 0807060504030201 3300000000000000",
];

#[test]
fn the_bytes_of_paxos() {
    are_held(&of_paxos(), &GOLDEN_OF_PAXOS);
    are_told_from_others(&of_paxos());
}

const GOLDEN_OF_REGISTERS: [&str; 7] = [
    "01 030000006b657901 0000000000000008 07060504030201",
    "02 030000006b657901 0000000000000008 0706050403020101 0200000000000000 0807060504030201
     1100000000000000 010500000076616c 75650000",
    "03 030000006b657901 0000000000000008 0706050403020111 0000000000000001 0500000076616c75 650000",
    "04 030000006b657901 0000000000000008 07060504030201",
    "05 030000006b657901 0000000000000008 0706050403020103 0000000000000008 07060504030201",
    "06 030000006b657901 0000000000000008 07060504030201",
    "07 030000006b657901 0000000000000008 0706050403020100",
];

/// A state in which one change is remembered: its name, the version it made, and the keeper that proposed it.
const GOLDEN_OF_A_CHANGE_REMEMBERED: &str = "03 03000000 6b6579 0100000000000000 0807060504030201
     0100000000000000 01 05000000 76616c7565
     0100 0f0e0d0c0b0a09080706050403020100 0100000000000000 0200000000000000";

#[test]
fn the_bytes_of_registers() {
    are_held(&of_registers(), &GOLDEN_OF_REGISTERS);
    are_told_from_others(&of_registers());
    let bytes: String = GOLDEN_OF_A_CHANGE_REMEMBERED.split_whitespace().collect();
    let bytes: Bytes = (0..bytes.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&bytes[at..at + 2], 16))
        .collect::<Result<_, _>>()
        .expect("the bytes of a message");
    let message = register::Message::decode(bytes.clone()).expect("the bytes of a message");
    assert_eq!(encode(&message), bytes);
    are_told_from_others(&[message]);
}
