//! [`Driven`]: a log under test, driven as a node would, and [`Place`], where it is kept.

use std::future::poll_fn;
use std::time::Duration;

use consensus_api::{Batch, Entry, Index, LogReader, LogStorage, Outline, StoreId, WriteSeq};

use super::log_storage::ORDERED;
use super::model::Model;
use super::waiting::{wait, wait_up_to};
use super::workload::identity;
use super::{Broken, require};

/// How far the numbers of two batches are apart. They need not be neighbours.
const SEQ_STEP: u64 = 3;

/// How long a log may work at hints, which it need not report.
const FOR_HINTS: Duration = Duration::from_millis(200);

/// Where a log is kept: what opens it, and whether it can be opened twice.
pub(crate) struct Place<O> {
    open: O,
    reopens: bool,
    /// What a failure on the way breaks.
    promise: &'static str,
}

impl<S: LogStorage, O: FnMut() -> S> Place<O> {
    pub(crate) fn new(open: O, reopens: bool, promise: &'static str) -> Self {
        Self { open, reopens, promise }
    }

    /// Opens the log and attaches it.
    pub(crate) fn open(&mut self) -> Result<Driven<S>, Broken> {
        Driven::attach((self.open)(), self.promise)
    }

    /// Closes the log, if it is one that can be opened again, and opens it.
    pub(crate) fn again(&mut self, log: Driven<S>) -> Result<Driven<S>, Broken> {
        if !self.reopens {
            return Ok(log);
        }
        drop(log);
        self.open()
    }

    /// Compares the log with the model, as it is and after it was opened again.
    pub(crate) fn confirm(&mut self, mut log: Driven<S>, model: &Model) -> Result<Driven<S>, Broken> {
        log.settle()?;
        let difference = model.difference_of_entries(&log.entries()?);
        require(difference.is_none(), self.promise, || difference.unwrap_or_default())?;
        let log = self.again(log)?;
        if self.reopens {
            let difference = model.difference(&log.outline, &log.entries()?);
            require(difference.is_none(), self.promise, || {
                format!("after it was opened again, {}", difference.unwrap_or_default())
            })?;
        }
        Ok(log)
    }
}

/// An attached log, and what is known of its writes.
pub(crate) struct Driven<S> {
    log: S,
    promise: &'static str,
    pub(crate) store: StoreId,
    pub(crate) outline: Outline,
    submitted: WriteSeq,
    /// The last batch that is more than hints: it must become durable without another.
    owed: WriteSeq,
    durable: WriteSeq,
}

impl<S: LogStorage> Driven<S> {
    /// Attaches a log under the suites' identity.
    pub(crate) fn attach(mut log: S, promise: &'static str) -> Result<Self, Broken> {
        let attached = log.attach(&identity());
        let recovered =
            attached.map_err(|error| Broken::new(promise, format!("the log cannot be attached: {error}")))?;
        let (store, outline) = (recovered.store, recovered.outline);
        Ok(Self {
            log,
            promise,
            store,
            outline,
            submitted: WriteSeq(0),
            owed: WriteSeq(0),
            durable: WriteSeq(0),
        })
    }

    /// Hands in a batch.
    pub(crate) fn submit(&mut self, batch: Batch) -> Result<WriteSeq, Broken> {
        self.submitted.0 += SEQ_STEP;
        if !batch.is_lazy() {
            self.owed = self.submitted;
        }
        let submitted = self.log.submit(self.submitted, batch);
        submitted.map_err(|error| Broken::new(self.promise, format!("a batch was refused: {error}")))?;
        Ok(self.submitted)
    }

    /// Hands in a batch of these operations, in this order.
    pub(crate) fn write(
        &mut self,
        ops: impl IntoIterator<Item = consensus_api::Op>,
        model: &mut Model,
    ) -> Result<WriteSeq, Broken> {
        let batch: Batch = ops.into_iter().collect();
        model.apply(&batch);
        self.submit(batch)
    }

    /// Waits for the next report, and for its sense.
    pub(crate) fn next_durable(&mut self) -> Result<WriteSeq, Broken> {
        let report = wait(poll_fn(|cx| self.log.poll_durable(cx)));
        let report = report.and_then(|report| report.map_err(|error| error.to_string()));
        let seq = report.map_err(|what| {
            let (durable, submitted) = (self.durable.0, self.submitted.0);
            Broken::new(self.promise, format!("durable up to {durable}, waiting for {submitted}: {what}"))
        })?;
        self.take_report(seq)?;
        Ok(seq)
    }

    fn take_report(&mut self, seq: WriteSeq) -> Result<(), Broken> {
        let (durable, submitted) = (self.durable, self.submitted);
        require(seq >= durable && seq <= submitted, ORDERED, || {
            format!(
                "{seq:?} was reported durable after {durable:?}, with {submitted:?} the last one submitted"
            )
        })?;
        self.durable = seq;
        Ok(())
    }

    /// Waits until all that was handed in is durable; save for hints at the end, which may wait for what comes next.
    pub(crate) fn settle(&mut self) -> Result<(), Broken> {
        while self.durable < self.owed {
            self.next_durable()?;
        }
        Ok(())
    }

    /// Waits until all is durable, and a while for hints at the end, whether they are reported or not.
    pub(crate) fn settle_with_hints(&mut self) -> Result<(), Broken> {
        self.settle()?;
        while self.durable < self.submitted {
            match wait_up_to(FOR_HINTS, poll_fn(|cx| self.log.poll_durable(cx))) {
                None => break,
                Some(Ok(seq)) => self.take_report(seq)?,
                Some(Err(error)) => return Err(Broken::new(self.promise, error.to_string())),
            }
        }
        Ok(())
    }

    /// Everything that is durable as far as was reported.
    pub(crate) fn durable(&self) -> WriteSeq {
        self.durable
    }

    /// The storage itself.
    pub(crate) fn storage(&mut self) -> &mut S {
        &mut self.log
    }

    /// A reader.
    pub(crate) fn reader(&self) -> S::Reader {
        self.log.reader()
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Broken> {
        self.read(0, u64::MAX, usize::MAX)
    }

    /// The entries from `first` up to, and not including, `end`.
    pub(crate) fn read(&self, first: u64, end: u64, bytes_max: usize) -> Result<Vec<Entry>, Broken> {
        read(&self.reader(), first, end, bytes_max).map_err(|what| Broken::new(self.promise, what))
    }
}

/// Reads in this thread.
pub(crate) fn read(
    reader: &impl LogReader,
    first: u64,
    end: u64,
    bytes_max: usize,
) -> Result<Vec<Entry>, String> {
    let read = wait(reader.read(Index(first)..Index(end), bytes_max));
    read.map_err(|what| format!("a read: {what}"))?.map_err(|error| format!("a read failed: {error}"))
}
