//! What a command in a session begins with.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use quorate_consensus_api::{
    Commands, Entry, EntryKind, Index, LogTime, PROTOCOL_VERSION, ProposalId, SessionId, SessionOp,
};

fn op() -> impl Strategy<Value = SessionOp> {
    let session =
        (any::<u64>(), any::<u32>()).prop_map(|(index, offset)| SessionId { index: Index(index), offset });
    prop_oneof![
        any::<u64>().prop_map(|idle_max_ms| SessionOp::Open { idle_max_ms }),
        (session.clone(), any::<u64>(), any::<u64>()).prop_map(|(session, sequence, acknowledged)| {
            SessionOp::Command { session, sequence, acknowledged }
        }),
        session.prop_map(|session| SessionOp::Close { session }),
    ]
}

proptest! {
    #[test]
    fn commands_in_sessions_come_back_out_of_their_entry(
        commands in prop::collection::vec((op(), prop::collection::vec(any::<u8>(), 0..40)), 0..20),
    ) {
        let mut body = BytesMut::new();
        for (op, command) in &commands {
            Commands::push_in_session(&mut body, op, command).unwrap();
        }
        let (kind, count) = (EntryKind::Sessions, commands.len() as u32);
        let entry = Entry::new(kind, count, ProposalId::default(), LogTime::ZERO, body.freeze());
        let found = entry.commands().map(|command| {
            let mut command = command.unwrap();
            (SessionOp::decode(&mut command).unwrap(), command.to_vec())
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), commands);
    }

    #[test]
    fn no_bytes_panic_and_no_part_of_an_op_is_one(op in op(), cut in 0..SessionOp::BYTES_MAX, noise: Vec<u8>) {
        let mut bytes = BytesMut::new();
        op.encode(&mut bytes);
        prop_assert!(bytes.len() <= SessionOp::BYTES_MAX);
        let cut = cut.min(bytes.len() - 1);
        prop_assert!(SessionOp::decode(&mut bytes.freeze().slice(..cut)).is_err());
        let _ = SessionOp::decode(&mut Bytes::from(noise));
    }
}

/// On every disk and wire there is: when this fails, raise the versions instead of blessing the new bytes.
#[test]
fn the_bytes_of_what_sessions_say() {
    assert_eq!(PROTOCOL_VERSION, 1, "the bytes below are those of version 1");
    let session = SessionId { index: Index(0x11), offset: 0x22 };
    let ops = [
        SessionOp::Open { idle_max_ms: 0x33 },
        SessionOp::Command { session, sequence: 0x44, acknowledged: 0x55 },
        SessionOp::Close { session },
    ];
    let bytes = ops.map(|op| {
        let mut out = BytesMut::new();
        op.encode(&mut out);
        format!("{out:x}")
    });
    let expected = [
        "013300000000000000",
        "0211000000000000002200000044000000000000005500000000000000",
        "03110000000000000022000000",
    ];
    assert_eq!(bytes, expected);
    assert!((4..=255_u8).chain([0]).all(|kind| SessionOp::decode(&mut vec![kind; 99].into()).is_err()));
}
