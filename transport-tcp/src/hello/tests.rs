//! The bytes of hello and refusal, as `docs/wire-format.md` shows them, and the table of who is refused. When the bytes
//! change, nodes of the old and the new build no longer understand each other, whatever versions they speak: fields
//! are only ever appended.

use bytes::Bytes;
use consensus_api::EngineName;
use proptest::prelude::*;

use super::*;
use crate::frame::{Kind, Sealer};
use crate::refusal::decode_refusal;
use crate::secret::{Secret, Side};

fn identity() -> Identity {
    Identity {
        cluster: ClusterName::new("orchard").unwrap(),
        node: NodeId(1),
        engine: EngineName("raft"),
        store: StoreId(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        incarnation: Incarnation(0xfeed_face),
    }
}

fn hello() -> Hello {
    Hello::new(&identity(), NodeId(2), Purpose::Consensus, 16 << 20)
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Bytes::copy_from_slice(bytes))
}

#[test]
fn a_hello_has_these_bytes() {
    let expected = "
        71460001 01000000 65000000 00000000 00000000 00000000 80fb637b 786d0823
        01010000 00000001
        0100000000000000 0200000000000000
        7766554433221100efcdab8967452301 cefaedfe00000000
        07 6f726368617264 04 72616674
        01000000 00000000
        0000000000000000 0000000000000000 0000000000000000 0000000000000000";
    let bytes = Sealer::new().whole(Kind::Hello, hello().encode().into());
    assert_eq!(hex(&bytes), expected.split_whitespace().collect::<String>());
}

#[test]
fn a_hello_that_promises_a_proof_and_a_proof_have_these_bytes() {
    let hello = hello().with_proof([0xab; NONCE_BYTES]).encode();
    assert_eq!(hex(&hello[61..]), format!("0300000002000000{}", "ab".repeat(32)));
    let secret = Secret::new("sixteen bytes ok").unwrap();
    let proof = secret.proof(Side::Caller, &hello, b"the answer");
    let bytes = Sealer::new().whole(Kind::Proof, Bytes::copy_from_slice(&proof));
    let expected = "
        71460006 01000000 20000000 00000000 00000000 00000000 cdc66287 b8d22b2a
        535609ec4338da5a9302fe1ea8ec448a 8b2ad233268aa35a0ee7cd70b62f685a";
    assert_eq!(hex(&bytes), expected.split_whitespace().collect::<String>());
}

#[test]
fn what_one_demands_and_the_other_lacks_is_refused_on_both_sides() {
    let mine = hello();
    let theirs = Hello { from: NodeId(2), to: NodeId(1), store: StoreId(2), ..hello() };
    let secretive = theirs.clone().with_proof([1; NONCE_BYTES]);
    let refusal = Refusal::NoSecret { demands: NodeId(2), lacks: NodeId(1) };
    assert_eq!(secretive.agree(&mine), Err(refusal.clone()));
    assert_eq!(mine.agree(&secretive), Err(refusal));
    let newer = Hello { offers: u32::MAX, demands: 1 << 20, ..theirs };
    let refusal = Refusal::Feature { demands: NodeId(2), lacks: NodeId(1), features: 1 << 20 };
    assert_eq!(newer.agree(&mine), Err(refusal.clone()));
    assert_eq!(mine.agree(&newer), Err(refusal));
    let newer = Hello { demands: 0, ..newer };
    assert!(!newer.agree(&mine).unwrap().proofs, "what is offered and not demanded is no matter");
    assert!(secretive.agree(&mine.with_proof([2; NONCE_BYTES])).unwrap().proofs);
}

#[test]
fn a_refusal_has_these_bytes() {
    let refusal = Refusal::SameNode { node: NodeId(1) }.encode();
    assert_eq!(
        refusal,
        b"\x06two processes call themselves node 1; stop one, or give it a number of its own"
    );
    let bytes = Sealer::new().whole(Kind::Refusal, refusal.into());
    assert_eq!(hex(&bytes[..32]), "71460002010000004f000000000000000000000000000000a22a3f170d321cba");
}

#[test]
fn a_hello_survives_the_wire_and_what_is_appended_is_skipped() {
    let mut bytes = hello().encode();
    assert_eq!(Hello::decode(&bytes), Ok(hello()));
    bytes.extend_from_slice(b"later");
    assert_eq!(Hello::decode(&bytes), Ok(hello()));
    let bytes = hello().encode();
    for len in 0..bytes.len() {
        assert_eq!(Hello::decode(&bytes[..len]), Err(FrameError::Malformed { what: "hello" }));
    }
}

#[test]
fn the_longest_hello_and_the_longest_refusal_fit() {
    let name = "\u{1}".repeat(ClusterName::BYTES_MAX); // six bytes each once escaped
    let cluster = ClusterName::new(&name).unwrap();
    let engine = "e".repeat(ENGINE_BYTES_MAX);
    let longest = Hello { cluster: cluster.clone(), engine, ..hello() };
    assert!(longest.encode().len() <= HANDSHAKE_BYTES_MAX);
    let (me, peer) = (NodeId(u64::MAX), NodeId(u64::MAX));
    let refusal = Refusal::Cluster { me, ours: cluster.clone(), peer, theirs: cluster };
    assert!(refusal.encode().len() <= HANDSHAKE_BYTES_MAX, "{}", refusal.encode().len());
}

#[test]
fn both_sides_come_to_the_same_agreement() {
    let mine = Hello { versions: 1..=4, frame_bytes_max: 100, ..hello() };
    let theirs = Hello { versions: 2..=9, frame_bytes_max: 60, from: NodeId(2), to: NodeId(1), ..hello() };
    let theirs = Hello { store: StoreId(2), ..theirs };
    let agreement = Agreement { version: 4, frame_bytes_max: 60, proofs: false };
    assert_eq!(theirs.agree(&mine), Ok(agreement));
    assert_eq!(mine.agree(&theirs), Ok(agreement));
}

#[test]
fn the_words_of_a_refusal_cannot_garble_a_log() {
    assert_eq!(decode_refusal(b"\x02no\r\n\x1b[31m\xff"), Ok((2, "no[31m\u{fffd}".to_owned())));
    assert_eq!(decode_refusal(b""), Err(FrameError::Malformed { what: "refusal" }));
}

proptest! {
    #[test]
    fn no_bytes_make_a_hello_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Hello::decode(&bytes);
        let _ = decode_refusal(&bytes);
        // Beyond the fixed fields, too.
        let mut bytes = bytes;
        bytes.splice(..bytes.len().min(4), [1, 1, 0, 0]);
        if let Ok(hello) = Hello::decode(&bytes) {
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }
    }
}
