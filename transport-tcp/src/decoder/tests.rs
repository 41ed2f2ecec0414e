//! Whatever the bytes: no panic, no frame that was not sent, no damage that goes unnoticed.

use bytes::Bytes;
use consensus_api::Lane;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame::Sealer;

const BYTES_MAX: usize = 4_096;

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(BYTES_MAX);
    decoder.agree(1, BYTES_MAX);
    decoder
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let part = || vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    vec((part(), part()).prop_map(|(head, body)| Frame { head, body }), 0..6)
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut sealer = Sealer::new();
    sealer.agree(1);
    let mut bytes = Vec::new();
    for frame in frames {
        bytes.extend_from_slice(&sealer.seal(Kind::Message, Lane::Data, frame));
        bytes.extend_from_slice(&frame.head);
        bytes.extend_from_slice(&frame.body);
    }
    bytes
}

/// All that comes out, and the error that ended it.
fn drain(decoder: &mut Decoder) -> (Vec<Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some((_, frame))) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(frames in frames(), cut in 1..300usize) {
        let mut decoder = decoder();
        let mut out = Vec::new();
        for piece in encode(&frames).chunks(cut) {
            decoder.bytes.extend_from_slice(piece);
            let (more, error) = drain(&mut decoder);
            prop_assert_eq!(error, None);
            out.extend(more);
        }
        prop_assert_eq!(out, frames);
    }

    #[test]
    fn a_prefix_yields_the_first_frames_and_no_others(frames in frames(), end in any::<prop::sample::Index>()) {
        let bytes = encode(&frames);
        let end = end.index(bytes.len() + 1);
        let mut decoder = decoder();
        decoder.bytes.extend_from_slice(&bytes[..end]);
        let (out, error) = drain(&mut decoder);
        prop_assert_eq!(error, None);
        prop_assert_eq!(out.len() == frames.len(), end == bytes.len() || frames.is_empty());
        prop_assert_eq!(&out[..], &frames[..out.len()]);
    }

    #[test]
    fn damage_yields_the_frames_before_it_and_an_error(
        frames in frames(),
        at in any::<prop::sample::Index>(),
        mask in 1..=u8::MAX,
    ) {
        prop_assume!(!frames.is_empty());
        let mut bytes = encode(&frames);
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let mut decoder = decoder();
        decoder.bytes.extend_from_slice(&bytes);
        let (out, error) = drain(&mut decoder);
        prop_assert!(error.is_some());
        prop_assert!(out.len() < frames.len());
        prop_assert_eq!(&out[..], &frames[..out.len()]);
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_much(bytes in vec(any::<u8>(), 0..2_000), behind_magic in any::<bool>()) {
        for mut decoder in [decoder(), Decoder::new(BYTES_MAX)] {
            if behind_magic {
                decoder.bytes.extend_from_slice(&MAGIC);
            }
            decoder.bytes.extend_from_slice(&bytes);
            let _ = drain(&mut decoder);
            decoder.make_room();
            prop_assert!(decoder.bytes.capacity() <= bytes.len() + 2 * READ_BYTES);
        }
    }
}

#[test]
fn every_single_bit_counts() {
    let sent =
        [Frame { head: Bytes::from_static(b"head"), body: Bytes::from_static(b"a body of some length") }];
    let bytes = encode(&sent);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut decoder = decoder();
        decoder.bytes.extend_from_slice(&damaged);
        let (out, error) = drain(&mut decoder);
        assert!(out.is_empty() && error.is_some(), "bit {bit} went unnoticed");
    }
}

#[test]
fn a_length_is_checked_before_anything_is_allocated() {
    let header = Header {
        version: 1,
        kind: Kind::Message as u8,
        flags: 1,
        lane: 0,
        head_len: u32::MAX,
        body_len: u32::MAX,
        group: 0,
        sequence: 0,
        payload_checksum: 0,
    };
    let mut decoder = decoder();
    decoder.bytes.extend_from_slice(&header.encode());
    let bytes = 2 * u64::from(u32::MAX);
    assert_eq!(drain(&mut decoder).1, Some(FrameError::TooLarge { bytes, bytes_max: BYTES_MAX }));
    assert!(decoder.bytes.capacity() <= 64);
}

#[test]
fn a_payload_is_not_copied() {
    let bytes = encode(&[Frame { head: Bytes::from_static(b"head"), body: Bytes::from_static(b"body") }]);
    let mut decoder = decoder();
    decoder.bytes.extend_from_slice(&bytes);
    let at = decoder.bytes.as_ptr() as usize;
    let (_, frame) = decoder.next().unwrap().unwrap();
    assert_eq!(frame.head.as_ptr() as usize, at + HEADER_BYTES);
    assert_eq!(frame.body.as_ptr() as usize, at + HEADER_BYTES + 4);
}

#[test]
fn a_payload_is_handed_out_where_it_was_read() {
    let sent = Frame { head: Bytes::from_static(b"head"), body: Bytes::from_static(b"entries") };
    let mut decoder = decoder();
    decoder.feed(&encode(&[sent]));
    let read_at = decoder.bytes.as_ptr() as usize;
    let (_, frame) = decoder.next().unwrap().unwrap();
    assert_eq!(frame.head.as_ptr() as usize, read_at + HEADER_BYTES);
    assert_eq!(frame.body.as_ptr() as usize, read_at + HEADER_BYTES + 4);
}

/// Whatever a caller claims, before the handshake it makes nobody hold more than this.
#[test]
fn a_stranger_is_given_little_room() {
    const ROOM_BYTES: usize = 4 << 10;
    for claimed in [0, 1, 1_024, 1_025, 1 << 24, u32::MAX] {
        let mut decoder = Decoder::new(1_024);
        let header = Header {
            version: 0,
            kind: Kind::Hello as u8,
            flags: 1,
            lane: 0,
            head_len: claimed,
            body_len: 0,
            group: 0,
            sequence: 0,
            payload_checksum: 0,
        };
        decoder.feed(&header.encode());
        let too_large = matches!(decoder.next(), Err(FrameError::TooLarge { .. }));
        assert_eq!(too_large, claimed > 1_024);
        decoder.feed(&[]);
        assert!(decoder.capacity() <= ROOM_BYTES, "{} bytes for a claim of {claimed}", decoder.capacity());
    }
}
