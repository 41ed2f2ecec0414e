//! What nodes say to each other, held byte by byte, and whatever it is damaged to.

use consensus_api::PROTOCOL_VERSION;

use super::*;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sound(u8);

impl Message for Sound {
    fn lane(&self) -> Lane {
        Lane::Control
    }
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.0);
    }
    fn decode(bytes: Bytes) -> Result<Self, MessageError> {
        bytes.first().copied().map(Sound).ok_or(MessageError("it is cut short"))
    }
}

/// The disk that everything is said from. Its bytes stand behind the first.
const STORE: StoreId = StoreId(0xa7);
const STORE_BYTES: &str = "a7000000000000000000000000000000";

/// One of each, with its bytes in protocol version 1, but for the disk.
fn golden() -> Vec<(Envelope<Sound>, &'static str)> {
    let generation = Generation::new(7, NodeId(2));
    let membership = Membership::of_voters([NodeId(1), NodeId(2)]).expect("a few members");
    let mark = SnapshotMark { index: Index(9), generation, membership: membership.clone() };
    let (incarnation, sequence, id, index) = (Incarnation(8), 4, ReadId(3), Index(5));
    let refused = |reason| Envelope::ForwardRefused { incarnation, sequence, reason };
    let errand = |errand| Envelope::Errand { generation, incarnation, sequence, errand };
    let ended = |outcome| Envelope::ErrandEnded { incarnation, sequence, outcome };
    let word = |word| Envelope::Word { asked: StoreId(8), word };
    let (node, address) = (NodeId(5), "b:7".to_owned());
    let relayed = |relayed| Envelope::SnapshotRelayed { to: node, relayed };
    let members = "01 02000000 0100000000000000 0200000000000000 00000000 00000000 00000000";
    vec![
        (Envelope::Engine(Sound(5)), "01 05"),
        (Envelope::Forward { generation }, "02 0700000000000000 0200000000000000"),
        (refused(ForwardRefusal::NotLeader), "03 0800000000000000 0400000000000000 01"),
        (refused(ForwardRefusal::ClockAhead), "03 0800000000000000 0400000000000000 02"),
        (refused(ForwardRefusal::StorageFull), "03 0800000000000000 0400000000000000 03"),
        (Envelope::Read { incarnation, id, lease: true }, "04 0800000000000000 0300000000000000 01"),
        (
            Envelope::ReadAnswer { incarnation, id, index: Some(index) },
            "05 0800000000000000 0300000000000000 01 0500000000000000",
        ),
        (
            Envelope::ReadAnswer { incarnation, id, index: None },
            "05 0800000000000000 0300000000000000 00 0000000000000000",
        ),
        (
            Envelope::Chunk { mark, total: 10, offset: 5 },
            "06 0a00000000000000 0500000000000000 0900000000000000 0700000000000000 0200000000000000
             01 02000000 0100000000000000 0200000000000000 00000000 00000000 00000000",
        ),
        (Envelope::ChunkTaken { index, offset: 6 }, "07 0500000000000000 0600000000000000"),
        (errand(Errand::AddLearner { node, address: address.clone() }), "01 0500000000000000 623a37"),
        (errand(Errand::Promote { node }), "02 0500000000000000"),
        (errand(Errand::Remove { node }), "03 0500000000000000"),
        (errand(Errand::SetAddress { node, address }), "04 0500000000000000 623a37"),
        (errand(Errand::Replace { membership }), members),
        (errand(Errand::Transfer { to: Some(node) }), "06 0500000000000000 31"),
        (errand(Errand::Transfer { to: None }), "06 0000000000000000"),
        (ended(ErrandOutcome::Done), "09 0800000000000000 0400000000000000 01"),
        (ended(ErrandOutcome::NotTaken), "09 0800000000000000 0400000000000000 02"),
        (ended(ErrandOutcome::Refused("no".to_owned())), "09 0800000000000000 0400000000000000 03 6e6f"),
        (ended(ErrandOutcome::Unknown), "09 0800000000000000 0400000000000000 04"),
        (Envelope::Introduction, "0a"),
        (Envelope::SnapshotWanted { to: node, least: index }, "0c 0500000000000000 0500000000000000"),
        (relayed(Relayed::UnderWay), "0d 0500000000000000 01 0000000000000000"),
        (relayed(Relayed::Sent(index)), "0d 0500000000000000 02 0500000000000000"),
        (relayed(Relayed::Failed), "0d 0500000000000000 03 0000000000000000"),
        (word(Word::Founding), "0b 08000000000000000000000000000000 01 00000000000000000000000000000000"),
        (
            word(Word::KnownBy(StoreId(9))),
            "0b 08000000000000000000000000000000 02 09000000000000000000000000000000",
        ),
        (word(Word::Awaited), "0b 08000000000000000000000000000000 03 00000000000000000000000000000000"),
        (
            word(Word::Unknown { as_of: index }),
            "0b 08000000000000000000000000000000 04 05000000000000000000000000000000",
        ),
        (
            word(Word::KnownSince { as_of: index }),
            "0b 08000000000000000000000000000000 05 05000000000000000000000000000000",
        ),
    ]
}

/// What stands before every errand: the generation, the incarnation and the sequence.
const ERRAND: &str = "08 0700000000000000 0200000000000000 0800000000000000 0400000000000000";

/// When this fails, nodes of the old build and the new one no longer understand each other: raise `PROTOCOL_VERSION`,
/// and put the new bytes beside the old ones.
#[test]
fn the_bytes_of_protocol_version_1() {
    assert_eq!(PROTOCOL_VERSION, 1, "the bytes above are those of version 1");
    for (envelope, golden) in golden() {
        let golden = match &envelope {
            Envelope::Errand { errand: Errand::Replace { .. }, .. } => {
                format!("{ERRAND} 05 0000000000000000 {golden}")
            }
            Envelope::Errand { .. } => format!("{ERRAND} {golden}"),
            _ => golden.to_owned(),
        };
        let golden: String = golden.split_whitespace().collect();
        let golden = format!("{}{STORE_BYTES}{}", &golden[..2], &golden[2..]);
        let frame = envelope.seal(STORE, Bytes::new(), &mut BytesMut::new());
        assert_eq!(format!("{:x}", frame.head), golden, "{envelope:?}");
        assert_eq!(Envelope::open(frame.head), Ok((STORE, envelope)));
    }
    // None is missing: whatever kind is known is above.
    for kind in 0..=u8::MAX {
        let noise = Bytes::from([&[kind][..], &[0; 100]].concat());
        let is_known = Envelope::<Sound>::open(noise) != Err(MessageError("unknown kind"));
        let is_there = golden()
            .iter()
            .any(|(envelope, _)| envelope.seal(STORE, Bytes::new(), &mut BytesMut::new()).head[0] == kind);
        assert_eq!(is_known, is_there, "kind {kind}");
    }
}

#[test]
fn no_part_of_a_message_is_that_message() {
    for (envelope, _) in golden() {
        let frame = envelope.seal(STORE, Bytes::new(), &mut BytesMut::new());
        for cut in 0..frame.head.len() {
            // A text that ends early is still a text.
            let read = Envelope::open(frame.head.slice(..cut)).map(|(_, read)| read);
            assert_ne!(read.as_ref(), Ok(&envelope), "cut at {cut}");
        }
    }
}

/// Whatever a byte is changed to, the result is no panic, and no more than the bytes say.
#[test]
fn every_damaged_byte_is_an_error_or_another_message() {
    for (envelope, _) in golden() {
        let head = envelope.seal(STORE, Bytes::new(), &mut BytesMut::new()).head;
        for at in 0..head.len() {
            for value in 0..=u8::MAX {
                let mut damaged = BytesMut::from(&head[..]);
                damaged[at] = value;
                if let Ok((store, read)) = Envelope::<Sound>::open(damaged.freeze()) {
                    let again = read.seal(store, Bytes::new(), &mut BytesMut::new());
                    // A text that is none any more grows by the signs that stand for what could not be read.
                    assert!(again.head.len() <= 3 * head.len());
                }
            }
        }
    }
}

#[test]
fn no_bytes_panic() {
    for kind in 0..=255_u8 {
        for len in 0..64 {
            let mut bytes = vec![0xff; len];
            bytes.insert(0, kind);
            let _ = Envelope::<Sound>::open(bytes.into());
        }
    }
}
