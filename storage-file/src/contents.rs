//! What one segment holds: read, checked and summed up by itself, so that several can be read at once. Taken in one after
//! the other, the contents of all segments are the log.

use std::sync::Arc;

use bytes::Bytes;
use consensus_api::{Entry, EntryKind, Generation, Index, Op, Outline, Run, StorageError};

use crate::extents::{Extents, Span};
use crate::operation::Placed;
use crate::scan::{Scan, Stop, Tail};
use crate::segment::{REMEDY, Segment};

/// One step of a log that is read back.
enum Step {
    /// Entries that follow each other and share a generation, none of them a membership.
    Run(Span, Generation),
    /// A membership entry.
    Membership(Span, Box<Entry>),
    /// Whatever else.
    Other(Box<Op>),
}

/// What a segment holds, up to its end or to the first batch that is not good.
pub(crate) struct Contents {
    steps: Vec<Step>,
    /// The length of the file.
    pub(crate) file_bytes: u64,
    /// Where the good batches end.
    pub(crate) end: u64,
    /// The number of the batch that must follow.
    pub(crate) expected: u64,
    /// What is wrong with it, if it was looked for.
    pub(crate) problem: Option<String>,
    /// The entries that can still be recognised in it.
    salvaged: Option<(Index, Index)>,
    /// The file was durably at least this many pages long.
    pub(crate) file_pages: u32,
    /// The oldest segment that is said to be needed.
    pub(crate) oldest_needed: u64,
    /// What stands behind the good batches, of the last segment. Of others that is void.
    pub(crate) tail: Tail,
    /// Whether the log was closed with the last good batch.
    pub(crate) is_closed: bool,
    /// Of the last segment: the bytes before `end` that may not be durable.
    pub(crate) doubtful: Vec<u8>,
}

impl Contents {
    /// Reads a segment; `next` is the one behind it, if there is one.
    pub(crate) fn read(segment: &Segment, next: Option<&Segment>) -> Result<Self, StorageError> {
        let mut scan = Scan::new(segment)?;
        if next.is_none() {
            scan.keep_doubtful()?;
        }
        let mut steps = Steps::default();
        let mut problem = None;
        while next.is_none_or(|next| scan.offset < next.header.prev_end) {
            let before = steps.here();
            match scan.next(|op, offset, bytes| steps.take_in(op, offset, bytes)) {
                Ok(()) => {}
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Bad(found)) => {
                    steps.go_back(before);
                    problem = Some(found);
                    break;
                }
            }
        }
        Ok(Self {
            steps: steps.0,
            file_bytes: scan.file_bytes(),
            end: scan.offset,
            expected: scan.expected,
            salvaged: if problem.is_some() { scan.salvage()? } else { None },
            problem,
            file_pages: scan.file_pages,
            oldest_needed: scan.oldest_needed(),
            tail: if next.is_none() { scan.tail()? } else { Tail::blank(scan.expected) },
            is_closed: scan.is_closed,
            doubtful: scan.take_doubtful(),
        })
    }

    /// Takes all of it into account, behind what the segments before it held.
    pub(crate) fn replay(&mut self, segment: &Arc<Segment>, outline: &mut Outline, extents: &mut Extents) {
        for step in self.steps.drain(..) {
            match step {
                Step::Run(span, generation) => {
                    extents.put(&span, segment);
                    outline.put_run(Run { first: span.first, last: span.last, generation });
                }
                Step::Membership(span, entry) => {
                    extents.put(&span, segment);
                    outline.put(&entry);
                }
                Step::Other(op) => {
                    extents.replay(&op);
                    outline.replay(&op);
                }
            }
        }
    }

    /// The error for damage behind the good batches; `found` says what is wrong there, `proof` how that is known.
    pub(crate) fn damage(&self, segment: &Segment, found: &str, proof: &str, intact: Index) -> StorageError {
        let concerned = match self.salvaged {
            Some((low, high)) => format!("the batch held entries {low} to {high}"),
            None => "which entries the batch held can no longer be told".to_owned(),
        };
        let problem = format!(
            "batch {}: {found}. It was acknowledged: {proof}. {concerned}; before it the log reached entry \
             {intact}. Nothing was changed; {REMEDY}",
            self.expected
        );
        StorageError::Corrupt { file: segment.path.clone(), offset: self.end, problem }
    }
}

/// The steps of a segment, as they are found.
#[derive(Default)]
struct Steps(Vec<Step>);

/// How far the steps came at some time.
struct Here {
    count: usize,
    last: Option<Span>,
}

impl Steps {
    fn take_in(&mut self, op: Placed<'_>, offset: u64, bytes: u32) {
        let (entry, body) = match op {
            Placed::Put(entry, body) => (entry, body),
            Placed::Other(op) => return self.0.push(Step::Other(Box::new(op))),
        };
        let record_bytes = entry.record_len() as u32 + body.len() as u32;
        let span = Span { first: entry.index, last: entry.index, offset, bytes, record_bytes };
        if entry.kind == EntryKind::Membership {
            let entry = Entry { body: Bytes::copy_from_slice(body), ..entry };
            return self.0.push(Step::Membership(span, Box::new(entry)));
        }
        if let Some(Step::Run(run, generation)) = self.0.last_mut()
            && *generation == entry.generation
            && run.join(&span)
        {
            return;
        }
        self.0.push(Step::Run(span, entry.generation));
    }

    fn here(&self) -> Here {
        let last = match self.0.last() {
            Some(Step::Run(span, _)) => Some(*span),
            _ => None,
        };
        Here { count: self.0.len(), last }
    }

    /// Forgets what was taken in since then.
    fn go_back(&mut self, before: Here) {
        self.0.truncate(before.count);
        if let (Some(Step::Run(span, _)), Some(last)) = (self.0.last_mut(), before.last) {
            *span = last;
        }
    }
}
