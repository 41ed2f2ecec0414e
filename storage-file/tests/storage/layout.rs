//! A log built by hand from `docs/log-format.md`. If this fails, the format has changed: raise its version.

use bytes::{BufMut, Bytes};
use consensus_api::{Generation, Index, Membership, NodeId, SnapshotMark, StoreId, record};
use crc32c::crc32c;
use quorate_storage_file::disk::Folder;
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

const STORE: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
const SALT: u64 = 0xfeed_5a17;

fn file(folder: &dyn Folder, name: &str, bytes: &[u8]) {
    let file = folder.create(name).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    folder.sync().unwrap();
}

fn put_crc(bytes: &mut [u8], at: usize, covered: &[&[u8]]) -> u32 {
    let checksum = crc32c(&covered.concat());
    bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

fn identity_file() -> Vec<u8> {
    let mut bytes = b"QRMIDENT".to_vec();
    bytes.put_u32_le(1);
    bytes.put_u32_le(0);
    bytes.put_u128_le(STORE);
    bytes.put_u64_le(1);
    for name in ["test", "raft"] {
        bytes.put_u16_le(name.len() as u16);
        bytes.put_slice(name.as_bytes());
    }
    let copy = bytes.clone();
    put_crc(&mut bytes, 12, &[&copy[..12], &copy[16..]]);
    bytes
}

fn operation(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.put_u32_le(payload.len() as u32);
    bytes.put_u64_le(0);
    let copy = bytes.clone();
    let covered = if kind == 1 { &payload[..72] } else { payload };
    put_crc(&mut bytes, 8, &[&SALT.to_le_bytes(), &copy[..8], covered]);
    bytes.put_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A batch at `offset`, and the crc of its header.
fn batch(offset: u64, seq: u64, durable_seq: u64, prev: u32, operations: &[Vec<u8>]) -> (Vec<u8>, u32) {
    let magic = if operations.is_empty() { b"QEND" } else { b"QBAT" };
    let body = operations.concat();
    let headers: Vec<&[u8]> = operations.iter().map(|operation| &operation[..16]).collect();
    let mut bytes = magic.to_vec();
    bytes.put_u32_le(0);
    bytes.put_u32_le(body.len() as u32);
    bytes.put_u32_le(operations.len() as u32);
    bytes.put_u32_le(crc32c(&headers.concat()));
    bytes.put_u32_le(8192 / 4096);
    bytes.put_u64_le(seq);
    bytes.put_u64_le(durable_seq);
    bytes.put_u32_le(prev);
    bytes.put_u32_le(1);
    let copy = bytes.clone();
    let checksum = put_crc(&mut bytes, 4, &[&SALT.to_le_bytes(), &offset.to_le_bytes(), &copy[8..48]]);
    bytes.put_slice(&body);
    (bytes, checksum)
}

fn segment_file() -> Vec<u8> {
    let mut header = b"QRMWAL\r\n".to_vec();
    header.put_u16_le(3);
    header.put_u16_le(3);
    header.put_u32_le(0);
    header.put_u128_le(STORE);
    for number in [1, SALT, 8192, 0, 0, 1, 1] {
        header.put_u64_le(number);
    }
    let copy = header.clone();
    let checksum = put_crc(&mut header, 12, &[&copy[..12], &copy[16..88]]);
    let mut bytes = vec![0; 8192];
    bytes[..88].copy_from_slice(&header);
    bytes[2048..2136].copy_from_slice(&header);

    let number = |number: u64| number.to_le_bytes().to_vec();
    let position = |index: u64, round: u64, node: u64| [number(index), number(round), number(node)].concat();
    let records = (1..=4).map(|index| {
        let mut bytes = Vec::new();
        record::encode(&entry(index, 3, 21), &mut bytes);
        operation(1, &bytes)
    });
    let membership = [vec![1, 1, 0, 0, 0], number(7), vec![0; 12]].concat();
    let first = [operation(2, b"a vote")].into_iter().chain(records).collect::<Vec<_>>();
    let second = [
        operation(3, &number(4)),
        operation(5, &[position(1, 3, 1), membership].concat()),
        operation(4, &position(1, 3, 1)),
        operation(6, &number(2)),
    ];
    let (first, checksum) = batch(4096, 1, 0, checksum, &first);
    let second_at = 4096 + first.len();
    let (second, checksum) = batch(second_at as u64, 2, 1, checksum, &second);
    let third_at = second_at + second.len();
    let (third, _) = batch(third_at as u64, 3, 2, checksum, &[]);
    bytes[4096..second_at].copy_from_slice(&first);
    bytes[second_at..third_at].copy_from_slice(&second);
    bytes[third_at..third_at + third.len()].copy_from_slice(&third);
    bytes[third_at + third.len()..].fill(0xaa);
    bytes
}

fn spare_file() -> Vec<u8> {
    let mut bytes = vec![0xaa; 8192];
    bytes[..4096].fill(0);
    for at in [0, 2048] {
        bytes[at..at + 16].copy_from_slice(b"QRM SPARE FILE\r\n");
    }
    bytes
}

#[test]
fn a_log_written_by_hand_from_the_page_is_read() {
    let disk = SimulatedDisk::new(1);
    let folder = disk.folder(FOLDER);
    file(&*folder, "IDENTITY", &identity_file());
    file(&*folder, "0000000000000001.wal", &segment_file());
    file(&*folder, "0000000000000002.wal", &spare_file());
    let (log, recovered) = open(&disk, INLINE).unwrap();
    assert_eq!(recovered.notes, Vec::<String>::new());
    assert_eq!(recovered.store, StoreId(STORE));
    let outline = recovered.outline;
    assert_eq!(outline.hard_state, Some(Bytes::from_static(b"a vote")));
    assert_eq!((outline.compacted, outline.watermark, outline.last()), (Index(1), Index(2), Index(3)));
    let (generation, membership) =
        (Generation::new(3, NodeId(1)), Membership::of_voters([NodeId(7)]).expect("a few members"));
    assert_eq!(outline.snapshot, Some(SnapshotMark { index: Index(1), generation, membership }));
    assert_eq!(read_all(&log).unwrap(), [entry(2, 3, 21), entry(3, 3, 21)]);
}
