//! A batch in as few parts as it has: what it costs to keep count of an entry is spent once for many.

use consensus_api::{Entry, EntryKind, Generation, Op};

use crate::extents::Span;
use crate::operation;

/// Some operations of a batch that follow each other.
pub(super) enum Part<'a> {
    /// Entries that follow each other and share a generation; the entry itself if it is a membership, which stands alone.
    Entries(Span, Generation, Option<&'a Entry>),
    /// One that puts nothing.
    Other(&'a Op),
}

/// Hands the parts of a batch whose operations stand at `offset` to `each`, in order.
pub(super) fn parts<'a>(ops: &'a [Op], mut offset: u64, mut each: impl FnMut(Part<'a>)) {
    let mut run: Option<(Span, Generation)> = None;
    for op in ops {
        let bytes = operation::encoded_len(op) as u32;
        let span = |entry: &Entry| Span {
            first: entry.index,
            last: entry.index,
            offset,
            bytes,
            record_bytes: entry.record_len() as u32,
        };
        if let (Op::Put(entry), Some((run, generation))) = (op, &mut run)
            && entry.kind != EntryKind::Membership
            && *generation == entry.generation
            && run.join(&span(entry))
        {
            offset += u64::from(bytes);
            continue;
        }
        if let Some((span, generation)) = run.take() {
            each(Part::Entries(span, generation, None));
        }
        match op {
            Op::Put(entry) if entry.kind == EntryKind::Membership => {
                each(Part::Entries(span(entry), entry.generation, Some(entry)));
            }
            Op::Put(entry) => run = Some((span(entry), entry.generation)),
            op => each(Part::Other(op)),
        }
        offset += u64::from(bytes);
    }
    if let Some((span, generation)) = run {
        each(Part::Entries(span, generation, None));
    }
}

#[cfg(test)]
mod tests;
