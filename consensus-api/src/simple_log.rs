//! [`SimpleLog`]: a log storage in three plain functions, and [`Simple`], which makes a [`LogStorage`] of it.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;

use crate::{Batch, Entry, Identity, Index, LogReader, LogStorage, Recovered, StorageError, WriteSeq};

/// The easy way to write a log storage: each call returns when it is done.
///
/// The promises are those of [`LogStorage`]; here is what they ask of the three functions.
/// `write` is durable when it returns, and atomic under a crash. It is called again only after the previous call
/// returned, and never again after an error. `read` may run beside it. All take `&self`: a write and reads overlap.
#[async_trait]
pub trait SimpleLog: Send + Sync + 'static {
    /// Recovers the log, or stamps a new one with `identity`. May block. Refuses a log stamped otherwise.
    ///
    /// # Errors
    /// As for [`LogStorage::attach`].
    fn open(&mut self, identity: &Identity) -> Result<Recovered, StorageError>;

    /// Writes a batch. Durable when it returns.
    ///
    /// # Errors
    /// Whatever failed; it is final.
    async fn write(&self, batch: Batch) -> Result<(), StorageError>;

    /// Reads entries, as [`LogReader::read`].
    ///
    /// # Errors
    /// As for [`LogReader::read`].
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError>;
}

type Writing = Pin<Box<dyn Future<Output = (WriteSeq, Result<(), StorageError>)> + Send>>;

/// Makes a [`LogStorage`] of a [`SimpleLog`]. No task and no runtime: the write under way advances whenever durability
/// is polled for. What is submitted meanwhile is merged into the next write: the slower the disk, the more goes into
/// one sync.
pub struct Simple<S> {
    log: Arc<S>,
    queued: Option<(WriteSeq, Batch)>,
    writing: Option<Writing>,
    poisoned: bool,
    waker: Option<Waker>,
}

impl<S: SimpleLog> Simple<S> {
    /// Wraps `log`.
    pub fn new(log: S) -> Self {
        Self { log: Arc::new(log), queued: None, writing: None, poisoned: false, waker: None }
    }
}

impl<S> fmt::Debug for Simple<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simple").field("queued", &self.queued).finish_non_exhaustive()
    }
}

impl<S: SimpleLog> LogStorage for Simple<S> {
    type Reader = SimpleReader<S>;

    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        let log = Arc::get_mut(&mut self.log);
        log.ok_or(StorageError::Unsupported { what: "a storage is attached once, before it is read" })?
            .open(identity)
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        if self.poisoned {
            return Err(StorageError::Poisoned);
        }
        match &mut self.queued {
            Some((newest, queued)) => {
                *newest = seq;
                queued.merge(batch);
            }
            None => self.queued = Some((seq, batch)),
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        if self.poisoned {
            return Poll::Ready(Err(StorageError::Poisoned));
        }
        let Some(writing) = self.writing.as_mut() else {
            let Some((seq, batch)) = self.queued.take() else {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let log = self.log.clone();
            self.writing = Some(Box::pin(async move { (seq, log.write(batch).await) }));
            return self.poll_durable(cx);
        };
        let Poll::Ready((seq, result)) = writing.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.writing = None;
        self.poisoned = result.is_err();
        Poll::Ready(result.map(|()| seq))
    }

    fn reader(&self) -> SimpleReader<S> {
        SimpleReader(self.log.clone())
    }
}

/// Reads a [`SimpleLog`].
pub struct SimpleReader<S>(Arc<S>);

impl<S> Clone for SimpleReader<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for SimpleReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimpleReader")
    }
}

#[async_trait]
impl<S: SimpleLog> LogReader for SimpleReader<S> {
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        self.0.read(range, bytes_max).await
    }
}
