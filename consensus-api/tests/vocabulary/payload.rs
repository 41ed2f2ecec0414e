//! `Payload`: typed values and raw bytes both come back as they went in, and nothing else does.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use quorate_consensus_api::{Payload, Raw, SerdeSnapshot, Snapshot};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum Command {
    Nothing,
    Put { key: String, value: Vec<u8> },
    Many(BTreeMap<i64, Option<bool>>),
}

fn values() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Nothing),
        (".{0,12}", prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(key, value)| Command::Put { key, value }),
        prop::collection::btree_map(any::<i64>(), any::<Option<bool>>(), 0..6).prop_map(Command::Many),
    ]
}

fn encoded(value: &impl Payload) -> Bytes {
    let mut out = BytesMut::new();
    value.encode(&mut out).expect("it has a byte form");
    out.freeze()
}

proptest! {
    #[test]
    fn typed_values_come_back(value in values()) {
        prop_assert_eq!(Command::decode(encoded(&value)), Ok(value));
    }

    #[test]
    fn missing_and_left_over_bytes_are_refused(value in values(), surplus in any::<u8>()) {
        let bytes = encoded(&value);
        for have in 0..bytes.len() {
            prop_assert!(Command::decode(bytes.slice(..have)).is_err());
        }
        let longer = [&bytes[..], &[surplus]].concat();
        let refused = Command::decode(longer.into()).expect_err("one byte too many");
        prop_assert_eq!(refused.to_string(), "1 bytes are left over");
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let bytes = Bytes::from(bytes);
        drop(Command::decode(bytes.clone()));
        drop(String::decode(bytes.clone()));
        drop(Vec::<u64>::decode(bytes));
    }

    #[test]
    fn a_value_is_appended_behind_what_is_there(value in values()) {
        let mut out = BytesMut::from(&b"head"[..]);
        value.encode(&mut out).expect("it has a byte form");
        prop_assert_eq!(out, [b"head", &encoded(&value)[..]].concat());
    }

    #[test]
    fn a_snapshot_comes_back_and_damage_does_not(value in values()) {
        let mut bytes = Vec::new();
        SerdeSnapshot(value.clone()).write_to(&mut bytes).expect("a vector takes all");
        prop_assert_eq!(SerdeSnapshot::<Command>::read_from(&mut &bytes[..]), Ok(value));
        prop_assert!(SerdeSnapshot::<Command>::read_from(&mut &bytes[..bytes.len() - 1]).is_err());
        bytes.push(0);
        prop_assert!(SerdeSnapshot::<Command>::read_from(&mut &bytes[..]).is_err());
    }
}

#[test]
fn a_count_larger_than_the_bytes_is_refused() {
    let claims_u64_max_elements = Bytes::from_static(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    assert!(Vec::<u64>::decode(claims_u64_max_elements.clone()).is_err());
    assert!(String::decode(claims_u64_max_elements).is_err());
}

#[test]
fn raw_bytes_are_not_copied() {
    let bytes = Bytes::from(vec![7; 100]);
    let raw = Raw::decode(bytes.clone()).expect("any bytes are raw");
    assert_eq!(raw.0.as_ptr(), bytes.as_ptr());
    assert_eq!(encoded(&raw), bytes);
}
