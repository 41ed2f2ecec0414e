//! Opening a log: all its segments are read through, and what they hold is believed or refused. See [`scan`](crate::scan)
//! for how a tear is told from damage. Nothing is changed before everything has been believed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{EntryKind, Op, Outline, StorageError, StoreId};

use crate::batch;
use crate::disk::Folder;
use crate::extents::Extents;
use crate::scan::Scan;
use crate::segment::{self, REMEDY, Segment};

/// What a log holds, and where to go on.
pub(crate) struct Recovery {
    pub(crate) outline: Outline,
    pub(crate) extents: Extents,
    /// The segments in use, oldest first.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// Files that hold nothing.
    pub(crate) spares: Vec<u64>,
    pub(crate) last: LastSegment,
    pub(crate) notes: Vec<String>,
}

/// The end of the log.
pub(crate) struct LastSegment {
    pub(crate) segment: Arc<Segment>,
    /// All of it that may not be durable, up to `end`.
    pub(crate) doubtful: Bytes,
    /// Where what counts of it ends.
    pub(crate) end: u64,
    /// The oldest segment that it says is needed.
    oldest_needed: u64,
    /// Its last batch.
    pub(crate) last_batch: u64,
    /// Higher than any number ever used.
    pub(crate) next_batch: u64,
}

/// Reads the log in `folder`, which must be `store`'s. Changes nothing. `progress` hears of the bytes read.
pub(crate) fn recover(
    folder: &dyn Folder,
    store: StoreId,
    progress: &mut dyn FnMut(u64),
) -> Result<Recovery, StorageError> {
    let (segments, spares) = open_all(folder, store)?;
    let mut outline = Outline::default();
    let mut extents = Extents::default();
    let mut notes = Vec::new();
    let mut end = None;
    for (position, segment) in segments.iter().enumerate() {
        let next = segments.get(position + 1).map(|next| &**next);
        let bytes = segment.read_all()?;
        progress(bytes.len() as u64);
        let mut scan = Scan::new(segment, &bytes);
        let found = replay(&mut scan, next, segment, &mut outline, &mut extents);
        if let Some(next) = next {
            check_sealed(&scan, next, found, &outline)?;
        } else {
            let problem = found.unwrap_or_default();
            end = Some(check_last(&scan, segment, &bytes, &problem, &outline, &mut notes)?);
        }
    }
    let Some(last) = end else {
        return Err(missing(folder, 1, "the folder holds an identity but no segment"));
    };
    let (first, needed) = (segments[0].header.seq, last.oldest_needed);
    if first > needed {
        let problem = format!("it is not there, though segment {} needs it", last.segment.header.seq);
        return Err(missing(folder, first - 1, &problem));
    }
    Ok(Recovery { outline, extents, segments: segments.into(), spares, last, notes })
}

/// The segments in use, oldest first, and the numbers of the spares behind them.
fn open_all(folder: &dyn Folder, store: StoreId) -> Result<(Vec<Arc<Segment>>, Vec<u64>), StorageError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let mut spares = Vec::new();
    let mut before: Option<u64> = None;
    for seq in list(folder)? {
        if before.is_some_and(|before| before + 1 != seq) {
            return Err(missing(folder, seq - 1, &format!("it is not there, though segment {seq} is")));
        }
        before = Some(seq);
        let Some(segment) = Segment::open(folder, seq)? else {
            spares.push(seq);
            continue;
        };
        if let Some(blank) = spares.first() {
            return Err(missing(folder, *blank, &format!("it is empty, though segment {seq} follows it")));
        }
        if segment.header.store != store {
            let (found, expected) = (segment.header.store.to_string(), store.to_string());
            let remedy = "put the files back where they came from";
            return Err(StorageError::Foreign {
                path: segment.path,
                field: "store",
                found,
                expected,
                remedy,
            });
        }
        segments.push(Arc::new(segment));
    }
    Ok((segments, spares))
}

/// The numbers of all segment files, in ascending order.
pub(crate) fn list(folder: &dyn Folder) -> Result<Vec<u64>, StorageError> {
    let names = folder.list().map_err(StorageError::io("cannot list", folder.path()))?;
    let mut seqs: Vec<u64> = names.iter().filter_map(|name| segment::seq_of(name)).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

fn missing(folder: &dyn Folder, seq: u64, problem: &str) -> StorageError {
    let file = folder.path().join(segment::file_name(seq));
    let problem = format!("{problem}, so entries are missing. Nothing was changed; {REMEDY}");
    StorageError::Corrupt { file, offset: 0, problem }
}

/// Takes in the batches of a segment up to its end, or to the first that is not good; says then what is wrong with it.
fn replay(
    scan: &mut Scan<'_>,
    next: Option<&Segment>,
    segment: &Arc<Segment>,
    outline: &mut Outline,
    extents: &mut Extents,
) -> Option<String> {
    while next.is_none_or(|next| scan.offset < next.header.prev_end) {
        let batch = match scan.next() {
            Ok(batch) => batch,
            Err(problem) => return Some(problem),
        };
        for placed in batch.ops {
            extents.replay(&placed.op, segment, batch.body_at + placed.offset, placed.bytes);
            outline.replay(&detached(placed.op));
        }
    }
    None
}

/// The outline keeps membership entries; they must not keep the whole segment in memory.
fn detached(op: Op) -> Op {
    match op {
        Op::Put(mut entry) if entry.kind == EntryKind::Membership => {
            entry.body = Bytes::copy_from_slice(&entry.body);
            Op::Put(entry)
        }
        op => op,
    }
}

/// A segment that is not the last was synced before the next was begun: whatever is wrong with it is damage.
fn check_sealed(
    scan: &Scan<'_>,
    next: &Segment,
    found: Option<String>,
    outline: &Outline,
) -> Result<(), StorageError> {
    let proof = format!("segment {} was begun after it", next.header.seq);
    if let Some(problem) = found {
        return Err(scan.damage(&problem, &proof, outline.last()));
    }
    if scan.offset != next.header.prev_end || scan.expected != next.header.prev_last_batch.saturating_add(1) {
        return Err(scan.damage("the next segment does not follow this one", &proof, outline.last()));
    }
    Ok(())
}

/// Decides whether the last segment ends cleanly, was torn, or is damaged.
fn check_last(
    scan: &Scan<'_>,
    segment: &Arc<Segment>,
    bytes: &Bytes,
    problem: &str,
    outline: &Outline,
    notes: &mut Vec<String>,
) -> Result<LastSegment, StorageError> {
    if (bytes.len() as u64) < segment.header.prepared_bytes {
        let short = format!("the file is {} bytes long", bytes.len());
        let proof = format!("it was made {} bytes long before it was used", segment.header.prepared_bytes);
        return Err(scan.damage(&short, &proof, outline.last()));
    }
    let tail = scan.tail();
    let stated_bytes = u64::from(scan.file_pages.max(tail.file_pages)) * batch::PAGE_BYTES;
    if (bytes.len() as u64) < stated_bytes {
        let short = format!("the file is {} bytes long", bytes.len());
        let proof = format!("a batch says that it was {stated_bytes} bytes long before");
        return Err(scan.damage(&short, &proof, outline.last()));
    }
    if let Some(proof) = tail.proof.filter(|_| !mutated("file/corrupt-middle-truncated")) {
        let proof = format!("a later batch, at byte {proof}, says so");
        return Err(scan.damage(problem, &proof, outline.last()));
    }
    if !tail.is_blank {
        notes.push(format!(
            "{}: cut what follows byte {}, batch {} on, which was being written when the node stopped and was never \
             acknowledged ({problem}); the log ends at entry {}",
            segment.path.display(),
            scan.offset,
            scan.expected,
            outline.last(),
        ));
    }
    Ok(LastSegment {
        segment: segment.clone(),
        doubtful: bytes.slice(scan.settled as usize..scan.offset as usize),
        end: scan.offset,
        oldest_needed: scan.oldest_needed(),
        last_batch: scan.expected.saturating_sub(1),
        next_batch: tail.highest_seq.saturating_add(1),
    })
}
