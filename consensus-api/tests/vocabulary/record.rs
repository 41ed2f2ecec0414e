//! `record`: what goes in comes out, and damage is told, never believed.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use quorate_consensus_api::record::{self, BODY_BYTES_MAX, HEADER_BYTES};
use quorate_consensus_api::{
    Entry, EntryKind, Generation, Incarnation, Index, LogTime, NodeId, ProposalId, RecordError,
};

use crate::naive_log::entries;

/// Where the part under the checksum begins.
const CHECKED_FROM: usize = 32;

fn encoded(entry: &Entry) -> BytesMut {
    let mut out = BytesMut::new();
    record::encode(entry, &mut out);
    out
}

fn flipped(bytes: &[u8], bit: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}

proptest! {
    #[test]
    fn records_come_back_one_after_the_other(entries in prop::collection::vec(entries(), 0..5)) {
        let mut out = BytesMut::new();
        for entry in &entries {
            record::encode(entry, &mut out);
        }
        prop_assert_eq!(out.len(), entries.iter().map(Entry::record_len).sum::<usize>());
        let mut bytes = out.freeze();
        for entry in &entries {
            prop_assert_eq!(&record::decode(&mut bytes).expect("it was just encoded"), entry);
        }
        prop_assert!(bytes.is_empty());
    }

    #[test]
    fn every_truncation_is_told_and_takes_nothing(entry in entries()) {
        let whole = encoded(&entry).freeze();
        for have in 0..whole.len() {
            let need = if have < HEADER_BYTES { HEADER_BYTES } else { whole.len() };
            let mut cut = whole.slice(..have);
            prop_assert_eq!(record::decode(&mut cut), Err(RecordError::Short { have, need }));
            prop_assert_eq!(cut.len(), have);
        }
    }

    #[test]
    fn every_flipped_bit_under_the_checksum_is_told(entry in entries()) {
        let whole = encoded(&entry);
        for bit in CHECKED_FROM * 8..whole.len() * 8 {
            let mut bytes = flipped(&whole, bit);
            prop_assert!(record::decode(&mut bytes).is_err(), "bit {} went unseen", bit);
            prop_assert_eq!(bytes.len(), whole.len());
        }
    }

    #[test]
    fn a_flipped_bit_of_length_or_checksum_is_told_even_when_more_records_follow(entry in entries()) {
        let whole = encoded(&entry);
        for bit in 0..8 * 8 {
            let mut bytes = flipped(&whole.repeat(3), bit);
            prop_assert!(record::decode(&mut bytes).is_err(), "bit {} went unseen", bit);
        }
    }

    #[test]
    fn a_new_stamp_leaves_the_checksum_true(entry in entries(), round in any::<u64>(), index in any::<u64>()) {
        let generation = Generation::new(round, entry.generation.node);
        let stamped = Entry { generation, index: Index(index), ..entry.clone() };
        prop_assert_eq!(record::checksum(&stamped), entry.checksum);
        prop_assert_eq!(record::decode(&mut encoded(&stamped).freeze()), Ok(stamped));
    }

    #[test]
    fn random_bytes_never_panic_and_decode_only_to_what_encodes_to_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_and_compare(&bytes.into())?;
    }

    /// Random bytes hardly ever have the right checksum; these do.
    #[test]
    fn random_headers_with_a_true_checksum_never_panic(
        header in any::<[u8; HEADER_BYTES - CHECKED_FROM]>(),
        kind in 0..8_u8,
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = vec![0; CHECKED_FROM];
        bytes[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&body);
        bytes[CHECKED_FROM] = kind;
        let checksum = crc32c_by_hand(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        decode_and_compare(&bytes.into())?;
    }
}

/// Decodes, and if that worked, encodes again: exactly the bytes taken must come out.
fn decode_and_compare(bytes: &Bytes) -> Result<(), TestCaseError> {
    let mut rest = bytes.clone();
    if let Ok(entry) = record::decode(&mut rest) {
        prop_assert_eq!(&encoded(&entry)[..], &bytes[..bytes.len() - rest.len()]);
        for command in entry.commands().take(100) {
            drop(command);
        }
    }
    Ok(())
}

/// CRC32C bit by bit, so that the golden image does not rest on the library it checks.
fn crc32c_by_hand(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn golden_entry() -> Entry {
    let proposal = ProposalId { node: NodeId(0x21), incarnation: Incarnation(0x22), sequence: 0x23 };
    let body = Bytes::from_static(b"\x03\0\0\0add\x01\0\0\0x");
    Entry {
        generation: Generation::new(0x11, NodeId(0x12)),
        index: Index(0x13),
        ..Entry::new(EntryKind::Commands, 2, proposal, LogTime(0x24), body)
    }
}

/// The format on every disk and wire there is. When this test fails, old logs can no longer be read: raise the
/// format's version instead of blessing the new bytes.
#[test]
fn the_golden_image_of_a_record() {
    let golden: [&[u8]; 12] = [
        b"\x0c\0\0\0",               // length of the body
        b"\x1b\x6c\x60\x73",         // checksum
        b"\x11\0\0\0\0\0\0\0",       // generation, round
        b"\x12\0\0\0\0\0\0\0",       // generation, node
        b"\x13\0\0\0\0\0\0\0",       // index
        b"\x01\0\0\0",               // kind, flags, reserved
        b"\x02\0\0\0",               // number of commands
        b"\x21\0\0\0\0\0\0\0",       // proposal, node
        b"\x22\0\0\0\0\0\0\0",       // proposal, incarnation
        b"\x23\0\0\0\0\0\0\0",       // proposal, sequence
        b"\x24\0\0\0\0\0\0\0",       // log time
        b"\x03\0\0\0add\x01\0\0\0x", // body
    ];
    let golden = golden.concat();
    assert_eq!(encoded(&golden_entry())[..], golden[..]);
    assert_eq!(golden[4..8], crc32c_by_hand(&golden[CHECKED_FROM..]).to_le_bytes());
    assert_eq!(record::decode(&mut golden.into()), Ok(golden_entry()));
}

#[test]
fn an_unknown_kind_is_named() {
    for kind in [0, 6, 255] {
        let mut bytes = encoded(&golden_entry());
        bytes[CHECKED_FROM] = kind;
        assert_eq!(record::decode(&mut bytes.freeze()), Err(RecordError::Kind { kind }));
    }
}

#[test]
fn fields_kept_for_later_are_refused_when_in_use() {
    for at in [CHECKED_FROM + 1, CHECKED_FROM + 2, CHECKED_FROM + 3] {
        let mut bytes = encoded(&golden_entry());
        bytes[at] = 1;
        let checksum = crc32c_by_hand(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(record::decode(&mut bytes.freeze()), Err(RecordError::Reserved), "byte {at}");
    }
}

/// Only the header is there: whoever believed the length would allocate, or wait for, up to 4 GiB.
#[test]
fn a_length_beyond_the_limit_is_refused_from_the_header_alone() {
    for bytes_stated in [BODY_BYTES_MAX + 1, u32::MAX as usize] {
        let mut bytes = encoded(&golden_entry());
        bytes[..4].copy_from_slice(&(bytes_stated as u32).to_le_bytes());
        let refused = RecordError::TooLarge { bytes: bytes_stated, bytes_max: BODY_BYTES_MAX };
        assert_eq!(record::decode_header(&bytes[..HEADER_BYTES]), Err(refused));
        assert_eq!(record::decode(&mut bytes.freeze()), Err(refused));
    }
}

#[test]
fn the_largest_length_only_asks_for_more_bytes() {
    let mut bytes = encoded(&golden_entry());
    bytes[..4].copy_from_slice(&(BODY_BYTES_MAX as u32).to_le_bytes());
    let (have, need) = (bytes.len(), HEADER_BYTES + BODY_BYTES_MAX);
    assert_eq!(record::decode(&mut bytes.freeze()), Err(RecordError::Short { have, need }));
}

#[test]
fn a_decoded_body_shares_the_bytes_it_came_in() {
    let mut bytes = encoded(&golden_entry()).freeze();
    let body_at = bytes[HEADER_BYTES..].as_ptr();
    let entry = record::decode(&mut bytes).expect("it is whole");
    assert_eq!(entry.body.as_ptr(), body_at);
}
