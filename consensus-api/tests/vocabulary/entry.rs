//! `Entry`: the commands that go into a body come out of it, without a copy.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use quorate_consensus_api::record::BODY_BYTES_MAX;
use quorate_consensus_api::{Commands, Entry, EntryKind, LogTime, ProposalId, RecordError};

fn entry_of(kind: EntryKind, count: u32, body: impl Into<Bytes>) -> Entry {
    Entry::new(kind, count, ProposalId::default(), LogTime::ZERO, body.into())
}

fn body_of(commands: &[Vec<u8>]) -> BytesMut {
    let mut body = BytesMut::new();
    for command in commands {
        Commands::push(&mut body, command).expect("small commands fit");
    }
    body
}

fn commands(count: Range<usize>) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), count)
}

proptest! {
    #[test]
    fn commands_come_back_in_order(commands in commands(0..8)) {
        let entry = entry_of(EntryKind::Commands, commands.len() as u32, body_of(&commands));
        let read: Result<Vec<Bytes>, _> = entry.commands().collect();
        prop_assert_eq!(read.expect("the body is whole"), commands);
    }

    #[test]
    fn a_body_that_is_cut_says_how_many_are_missing_and_ends(commands in commands(1..8), cut in any::<prop::sample::Index>()) {
        let body = body_of(&commands).freeze();
        let entry = entry_of(EntryKind::Commands, commands.len() as u32, body.slice(..cut.index(body.len())));
        let read: Vec<_> = entry.commands().collect();
        let (last, whole) = read.split_last().expect("at least the error");
        let missing = (commands.len() - whole.len()) as u32;
        prop_assert_eq!(last, &Err(RecordError::Body { commands_missing: missing }));
        prop_assert!(whole.iter().zip(&commands).all(|(read, written)| read.as_deref() == Ok(&written[..])));
    }

    #[test]
    fn any_count_over_any_body_ends_with_at_most_one_error(count in any::<u32>(), body in prop::collection::vec(any::<u8>(), 0..60)) {
        let read: Vec<_> = entry_of(EntryKind::Commands, count, body).commands().collect();
        prop_assert!(read.iter().filter(|command| command.is_err()).count() <= 1);
    }
}

#[test]
fn other_kinds_carry_no_commands() {
    for kind in [EntryKind::Noop, EntryKind::Membership, EntryKind::Digest] {
        assert_eq!(entry_of(kind, 1, body_of(&[b"x".to_vec()])).commands().count(), 0);
    }
}

#[test]
fn commands_share_the_body() {
    let body = body_of(&[b"first".to_vec(), b"second".to_vec()]).freeze();
    let entry = entry_of(EntryKind::Commands, 2, body.clone());
    let second = entry.commands().nth(1).expect("two commands").expect("a whole body");
    assert_eq!(second.as_ptr(), body[13..].as_ptr());
}

#[test]
fn a_command_larger_than_any_body_is_refused_and_leaves_no_trace() {
    let mut body = BytesMut::from(&b"before"[..]);
    let command = vec![0; BODY_BYTES_MAX - 3];
    let refused = RecordError::TooLarge { bytes: command.len(), bytes_max: BODY_BYTES_MAX };
    assert_eq!(Commands::push(&mut body, &command), Err(refused));
    assert_eq!(&body[..], b"before");
}

#[test]
fn each_kind_has_its_number_and_no_other_number_has_a_kind() {
    for number in 0..=u8::MAX {
        assert_eq!(
            EntryKind::from_u8(number).map(|kind| kind as u8),
            (1..=5).contains(&number).then_some(number)
        );
    }
}
