//! How many points the index has.

use std::sync::Arc;

use consensus_api::{Index, StoreId};

use super::{Extents, Span};
use crate::operation::Seed;
use crate::segment::{Segment, SegmentHeader};
use crate::simulated::SimulatedDisk;

/// A segment in memory, for indices of what stands in it.
pub(crate) fn segment(seq: u64) -> Arc<Segment> {
    let header = SegmentHeader {
        store: StoreId(1),
        seq,
        salt: seq,
        prepared_bytes: 0,
        prev_end: 0,
        prev_last_batch: 0,
        first_batch: 1,
        oldest_needed: 1,
    };
    let file = SimulatedDisk::new(1).folder("/log").create("segment").unwrap();
    Arc::new(Segment { header, checksum: 0, seed: Seed::of(seq), path: "segment".into(), file })
}

/// Puts entries of that many bytes in the log, one after the other, with a batch's header before each `batch` of them.
fn points(entries: u64, bytes: u64, batch: u64) -> (usize, u64) {
    let (mut extents, mut offset) = (Extents::default(), 4096);
    let segment = segment(1);
    for index in 1..=entries {
        offset += if index % batch == 0 { 48 } else { 0 };
        let span = Span {
            first: Index(index),
            last: Index(index),
            offset,
            bytes: bytes as u32,
            record_bytes: bytes as u32 - 16,
        };
        extents.put(&span, &segment);
        offset += bytes;
    }
    (extents.by_first.len(), offset - 4096)
}

#[test]
fn the_index_has_at_most_one_point_for_every_4_kib_of_log() {
    for (entries, bytes, batch) in
        [(50_000, 112, 1), (50_000, 112, 1000), (20_000, 360, 16), (5_000, 2_064, 1), (2_000, 4_000, 3)]
    {
        let (points, log_bytes) = points(entries, bytes, batch);
        assert!(points as u64 <= log_bytes / 4096 + 1, "{points} points for {log_bytes} bytes");
        assert!(points > 1);
    }
}
