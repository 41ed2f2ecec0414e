//! Opening a log: all its segments are read through, and what they hold is believed or refused. See [`scan`](crate::scan)
//! for how a tear is told from damage. Nothing is changed before everything has been believed.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use consensus_api::mutation::mutated;
use consensus_api::{Index, Outline, StorageError, StoreId};

use crate::batch;
use crate::contents::Contents;
use crate::disk::Folder;
use crate::extents::Extents;
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
    pub(crate) doubtful: Vec<u8>,
    /// Where what counts of it ends.
    pub(crate) end: u64,
    /// The oldest segment that it says is needed.
    oldest_needed: u64,
    /// Its last batch.
    pub(crate) last_batch: u64,
    /// Higher than any number ever used.
    pub(crate) next_batch: u64,
    /// Whether a batch that was being written is cut off.
    #[cfg(feature = "tool")]
    pub(crate) is_torn: bool,
}

/// As many segments are read at once as there are processors, but not more than this: a disk is busy with less.
const THREADS_MAX: usize = 4;

/// How many segments to read at once, where nothing forbids it.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX)
}

/// Reads the log in `folder`, which must be `store`'s, several segments at once. Changes nothing. `progress` hears of the
/// bytes read.
pub(crate) fn recover(
    folder: &dyn Folder,
    store: StoreId,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Recovery, StorageError> {
    let (segments, spares) = open_all(folder, store)?;
    let mut outline = Outline::default();
    let mut extents = Extents::default();
    let mut notes = Vec::new();
    let mut end = None;
    let pairs: Vec<_> = segments.iter().zip(segments.iter().skip(1).map(Some).chain([None])).collect();
    for group in pairs.chunks(threads.max(1)) {
        for ((segment, next), contents) in group.iter().zip(read_at_once(group)) {
            let mut contents = contents?;
            progress(contents.file_bytes);
            contents.replay(segment, &mut outline, &mut extents);
            match next {
                Some(next) => check_sealed(&contents, segment, next, &outline)?,
                None => end = Some(check_last(contents, segment, &outline, &mut notes)?),
            }
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

/// A segment, and the one behind it.
type Pair<'a> = (&'a Arc<Segment>, Option<&'a Arc<Segment>>);

/// Reads these segments, each in a thread of its own but the last.
fn read_at_once(group: &[Pair<'_>]) -> Vec<Result<Contents, StorageError>> {
    let read = |(segment, next): Pair<'_>| Contents::read(segment, next.map(|next| &**next));
    let Some((last, others)) = group.split_last() else { return Vec::new() };
    thread::scope(|scope| {
        let started = others.iter().map(|pair| {
            let thread = thread::Builder::new().name("quorate-recovery".to_owned());
            (pair, thread.spawn_scoped(scope, move || read(*pair)))
        });
        let started: Vec<_> = started.collect();
        let last = read(*last);
        let ended = started.into_iter().map(|(pair, thread)| match thread.map(ScopedJoinHandle::join) {
            Ok(Ok(contents)) => contents,
            Ok(Err(panic)) => resume_unwind(panic),
            // There are no more threads to be had.
            Err(_) => read(*pair),
        });
        ended.chain([last]).collect()
    })
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

/// A segment that is not the last was synced before the next was begun: whatever is wrong with it is damage.
fn check_sealed(
    contents: &Contents,
    segment: &Segment,
    next: &Segment,
    outline: &Outline,
) -> Result<(), StorageError> {
    let proof = format!("segment {} was begun after it", next.header.seq);
    if let Some(problem) = &contents.problem {
        return Err(contents.damage(segment, problem, &proof, outline.last()));
    }
    let follows = contents.end == next.header.prev_end
        && contents.expected == next.header.prev_last_batch.saturating_add(1);
    if follows {
        return Ok(());
    }
    Err(contents.damage(segment, "the next segment does not follow this one", &proof, outline.last()))
}

/// Decides whether the last segment ends cleanly, was torn, or is damaged.
fn check_last(
    mut contents: Contents,
    segment: &Arc<Segment>,
    outline: &Outline,
    notes: &mut Vec<String>,
) -> Result<LastSegment, StorageError> {
    let problem = contents.problem.take().unwrap_or_default();
    let damage = |found: &str, proof: &str| Err(contents.damage(segment, found, proof, outline.last()));
    let short = format!("the file is {} bytes long", contents.file_bytes);
    if contents.file_bytes < segment.header.prepared_bytes {
        let proof = format!("it was made {} bytes long before it was used", segment.header.prepared_bytes);
        return damage(&short, &proof);
    }
    let tail = &contents.tail;
    let stated_bytes = u64::from(contents.file_pages.max(tail.file_pages)) * batch::PAGE_BYTES;
    if contents.file_bytes < stated_bytes {
        return damage(&short, &format!("a batch says that it was {stated_bytes} bytes long before"));
    }
    if let Some(proof) = tail.proof.filter(|_| !mutated("file/corrupt-middle-truncated")) {
        return damage(&problem, &format!("a later batch, at byte {proof}, says so"));
    }
    notes.extend(unfinished(&contents, segment, &problem, outline.last()));
    Ok(LastSegment {
        segment: segment.clone(),
        end: contents.end,
        oldest_needed: contents.oldest_needed,
        last_batch: contents.expected.saturating_sub(1),
        next_batch: contents.tail.highest_seq.saturating_add(1),
        #[cfg(feature = "tool")]
        is_torn: contents.tail.is_torn,
        doubtful: contents.doubtful,
    })
}

/// What there is to say of a log that does not end where its file holds nothing more.
fn unfinished(contents: &Contents, segment: &Segment, problem: &str, last: Index) -> Option<String> {
    let Contents { end, expected, tail, .. } = contents;
    let path = segment.path.display();
    if tail.is_torn {
        return Some(format!(
            "{path}: cut what follows byte {end}, batch {expected} on, which was being written when the node stopped and \
             was never acknowledged ({problem}); the log ends at entry {last}"
        ));
    }
    // Whatever a file holds behind the end of a log that was closed is from an earlier use.
    let is_left_over = tail.is_blank || contents.is_closed;
    (!is_left_over).then(|| {
        format!(
            "{path}: the node was not closed in good order; its log ends at entry {last}, byte {end}. If batch {expected} \
             was being written, it was never acknowledged, and is cut"
        )
    })
}
