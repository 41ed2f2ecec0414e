//! A batch in as few parts as it has: what it costs to keep count of an entry is spent once for many.

use consensus_api::{Entry, EntryKind, Generation, Op, Outline, Run};

use crate::extents::Span;

/// Some operations of a batch that follow each other. Places count from the beginning of the batch's body.
pub(crate) enum Part {
    /// Entries that follow each other and share a generation.
    Entries(Span, Generation),
    /// A membership, which stands alone.
    Membership(Span, Entry),
    /// An operation that puts nothing.
    Other(Op),
}

impl Part {
    /// Takes it into account.
    pub(crate) fn replay(&self, outline: &mut Outline) {
        match self {
            Self::Entries(Span { first, last, .. }, generation) => {
                outline.put_run(Run { first: *first, last: *last, generation: *generation });
            }
            Self::Membership(_, entry) => outline.put(entry),
            Self::Other(op) => outline.replay(op),
        }
    }
}

/// Adds an operation, which takes so many bytes from `offset` on, to the parts of a batch that begin with number `first`.
pub(crate) fn push(parts: &mut Vec<Part>, first: usize, op: Op, offset: u64, bytes: usize) {
    let entry = match op {
        Op::Put(entry) => entry,
        op => return parts.push(Part::Other(op)),
    };
    let span = Span {
        first: entry.index,
        last: entry.index,
        offset,
        bytes: bytes as u32,
        record_bytes: entry.record_len() as u32,
    };
    if entry.kind == EntryKind::Membership {
        parts.push(Part::Membership(span, entry));
        return;
    }
    if let Some(Part::Entries(run, generation)) = parts[first..].last_mut()
        && *generation == entry.generation
        && run.join(&span)
    {
        return;
    }
    parts.push(Part::Entries(span, entry.generation));
}

#[cfg(test)]
mod tests;
