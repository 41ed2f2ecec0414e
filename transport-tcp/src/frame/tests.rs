//! The bytes of headers, as `docs/wire-format.md` shows them. When one of these fails, nodes of the old and the new
//! build no longer understand each other: give the new layout a new protocol version.

use bytes::Bytes;
use consensus_api::{Frame, Lane};

use super::*;

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(bytes))
}

#[test]
fn a_message_has_these_bytes() {
    let mut sealer = Sealer { version: 1, sequence: 7 };
    let frame = Frame { head: Bytes::from_static(b"head"), body: Bytes::from_static(b"body!") };
    let header = sealer.seal(Kind::Message, Lane::Data, &frame);
    assert_eq!(hex(&header), "7146010301000100040000000500000000000000070000005bca52c5ee693e13");
    let decoded = Header::decode(&header).unwrap();
    assert_eq!((decoded.head_len, decoded.body_len, decoded.sequence), (4, 5, 7));
    assert_eq!(sealer.sequence, 8);
}

#[test]
fn ping_and_pong_have_these_bytes() {
    let bytes = |kind| hex(&Sealer { version: 1, sequence: 1 }.whole(kind, Bytes::new()));
    assert_eq!(bytes(Kind::Ping), "71460104000000000000000000000000000000000100000000000000219abb99");
    assert_eq!(bytes(Kind::Pong), "71460105000000000000000000000000000000000100000000000000bc518fb7");
}

#[test]
fn the_sequence_begins_anew_at_its_end() {
    let mut sealer = Sealer { version: 1, sequence: u32::MAX };
    sealer.whole(Kind::Ping, Bytes::new());
    assert_eq!(sealer.sequence, 0);
}

#[test]
fn what_later_versions_may_use_is_refused_today() {
    let good = Sealer { version: 1, sequence: 0 }.seal(Kind::Message, Lane::Data, &Frame::default());
    for (at, value, field) in [(7, 1, "reserved"), (4, 2, "flags"), (5, 1, "flags"), (6, 3, "lane")] {
        let mut bytes = good;
        bytes[at] |= value;
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Err(FrameError::Reserved { field }));
    }
}
