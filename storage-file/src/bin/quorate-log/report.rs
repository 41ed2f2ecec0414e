//! What the tool says, in words and in JSON.

use consensus_api::{Entry, Op, StoreId};
use quorate_storage_file::inspect::{BatchSummary, SegmentSummary, Verdict};
use serde_json::json;

pub(crate) fn verdict(store: StoreId, found: &Verdict, json: bool) -> String {
    let outline = &found.outline;
    if json {
        return json!({
            "clean": !found.is_torn,
            "store": store.to_string(),
            "segments": found.segments,
            "entries": found.entries,
            "first": outline.runs().first().map(|run| run.first.0),
            "last": outline.last().0,
            "compacted": outline.compacted.0,
            "snapshot": outline.snapshot.as_ref().map(|mark| mark.index.0),
            "watermark": outline.watermark.0,
            "notes": found.notes,
        })
        .to_string();
    }
    let mut text = format!(
        "{}: store {store}, {} segments, {} entries up to {}, compacted up to {}",
        if found.is_torn { "sound, with a batch at its end that was being written" } else { "clean" },
        found.segments,
        found.entries,
        outline.last(),
        outline.compacted
    );
    for note in &found.notes {
        text.push_str("\nthe next start will tell: ");
        text.push_str(note);
    }
    text
}

pub(crate) fn segment(segment: &SegmentSummary, json: bool) -> String {
    let SegmentSummary { number, file_bytes, first_batch, prev_end, oldest_needed } = segment;
    if json {
        return json!({
            "segment": number, "file_bytes": file_bytes, "first_batch": first_batch, "prev_end": prev_end,
            "oldest_needed": oldest_needed,
        })
        .to_string();
    }
    format!(
        "segment {number}: {file_bytes} bytes, from batch {first_batch}, needs segment {oldest_needed} and later"
    )
}

pub(crate) fn batch(batch: &BatchSummary, json: bool) -> String {
    let BatchSummary { number, offset, bytes, ops } = batch;
    if json {
        return json!({ "batch": number, "offset": offset, "bytes": bytes, "records": ops.len() })
            .to_string();
    }
    format!("  batch {number} at byte {offset}: {bytes} bytes, {} records", ops.len())
}

pub(crate) fn record(op: &Op, json: bool) -> String {
    let (kind, index, detail) = match op {
        Op::Put(entry) => {
            let detail = format!(
                "{} commands, generation {}, {} bytes",
                entry.count,
                entry.generation,
                entry.record_len()
            );
            ("put", Some(entry.index.0), detail)
        }
        Op::HardState(bytes) => ("hard state", None, hex(bytes)),
        Op::TruncateFrom(from) => ("truncate from", Some(from.0), String::new()),
        Op::Compact { upto, generation } => ("compact", Some(upto.0), format!("generation {generation}")),
        Op::SnapshotMark(mark) => ("snapshot", Some(mark.index.0), format!("generation {}", mark.generation)),
        Op::Watermark(index) => ("watermark", Some(index.0), String::new()),
    };
    if json {
        return json!({ "record": kind, "index": index, "detail": detail }).to_string();
    }
    let index = index.map_or(String::new(), |index| format!(" {index}"));
    format!("    {kind}{index} {detail}").trim_end().to_owned()
}

pub(crate) fn entry(entry: &Entry) -> String {
    json!({
        "index": entry.index.0,
        "round": entry.generation.round,
        "node": entry.generation.node.0,
        "kind": format!("{:?}", entry.kind),
        "proposed_by": entry.proposal.node.0,
        "incarnation": entry.proposal.incarnation.0,
        "sequence": entry.proposal.sequence,
        "time": entry.time.0,
        "body": hex(&entry.body),
    })
    .to_string()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
