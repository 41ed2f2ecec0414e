//! [`FileLog`]: the log as its owner sees it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use consensus_api::{Batch, Identity, LogStorage, Recovered, SnapshotStorage, StorageError, WriteSeq};

use crate::attach;
use crate::belief::Confirmed;
use crate::disk::{Folder, Lock, RealFolder};
use crate::identity;
use crate::queue::{News, Queue};
use crate::reader::FileReader;
use crate::recycled::Recycled;
use crate::segment;
use crate::shared::Shared;
use crate::snapshots::FileSnapshots;
use crate::worker::Worker;
use crate::writer::{Mark, Writer};

/// How long nothing must come before the end of the log is marked.
const IDLE: Duration = Duration::from_millis(20);
/// How long to wait before a full disk is tried again.
const FULL: Duration = Duration::from_millis(100);
/// The shortest segment: a header and as much again.
const SEGMENT_BYTES_MIN: u64 = 2 * segment::HEADER_BYTES;
/// The largest batch.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// How a [`FileLog`] keeps its files.
#[derive(Clone, Copy, Debug)]
pub struct FileLogOptions {
    /// The length of a segment: 64 MiB by default, at least 8 KiB. Larger ones are begun less often; smaller ones give
    /// their space back sooner after a compaction. A batch that is larger than that makes its segment longer.
    pub segment_bytes: u64,
    /// Do all file work in the thread that polls: for a simulator, which must see the same operations in the same order
    /// each time, and for a writer that has nothing else to do until a batch is durable, which is spared two wake-ups. Off
    /// by default.
    pub inline: bool,
    /// What you vouch for after a log was refused. Nothing by default.
    pub confirmed: Confirmed,
}

impl Default for FileLogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, inline: false, confirmed: Confirmed::Nothing }
    }
}

/// A durable log in a folder. See the [crate's page](crate).
///
/// Dropping it writes what is still queued, marks the log's end and unlocks the folder; it may block for a sync.
pub struct FileLog {
    folder: Arc<dyn Folder>,
    options: FileLogOptions,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    /// Serves reads.
    reads: Worker,
    /// Serves snapshots, prepares segments and removes them.
    background: Worker,
    /// Files of segments that are kept, until they are used again or something else needs their room.
    recycled: Arc<Recycled>,
    drive: Drive,
    snapshots_begun: Arc<AtomicU64>,
    /// Last, so that it is let go of when all else has ended.
    _lock: Box<dyn Lock>,
}

/// Who writes.
enum Drive {
    /// Nobody: not attached yet.
    Idle,
    Thread(thread::JoinHandle<()>),
    Inline(Box<Writer>),
}

impl FileLog {
    /// Opens the log in `path`, a folder that is created if need be, and locks it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another process has it open; [`StorageError::Io`] if it cannot be created.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::open_with(path, FileLogOptions::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: FileLogOptions) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let folder = RealFolder::open(path).map_err(StorageError::io("cannot create the folder", path))?;
        Self::open_in(Arc::new(folder), options)
    }

    /// As [`open_with`](Self::open_with), on any file layer: that is, on the [simulated disk](crate::simulated).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(folder: Arc<dyn Folder>, mut options: FileLogOptions) -> Result<Self, StorageError> {
        options.segment_bytes = options.segment_bytes.max(SEGMENT_BYTES_MIN);
        let path = folder.path().to_owned();
        let held = folder.lock(LOCK).map_err(StorageError::io("cannot lock", path.join(LOCK)))?;
        let lock = held.ok_or_else(|| StorageError::Locked { path: path.clone() })?;
        let (reads, background) = if options.inline {
            (Worker::Inline, Worker::Inline)
        } else {
            (Worker::spawn("quorate-reads", &path)?, Worker::spawn("quorate-files", &path)?)
        };
        let recycled = Arc::new(Recycled::new(folder.clone(), options.segment_bytes));
        Ok(Self {
            folder,
            options,
            recycled,
            shared: Arc::default(),
            queue: Arc::default(),
            reads,
            background,
            drive: Drive::Idle,
            snapshots_begun: Arc::default(),
            _lock: lock,
        })
    }
}

/// The file that is locked.
pub(crate) const LOCK: &str = "LOCK";

impl LogStorage for FileLog {
    type Reader = FileReader;

    fn engine(&self) -> Result<Option<String>, StorageError> {
        identity::engine_of(&*self.folder)
    }

    fn attach(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        if !matches!(self.drive, Drive::Idle) {
            return Err(StorageError::Unsupported { what: "a log is attached once" });
        }
        let (mut writer, recovered) = attach::attach(
            &self.folder,
            self.options,
            identity,
            &self.shared,
            &self.background,
            &self.recycled,
        )?;
        self.drive = if self.options.inline {
            Drive::Inline(Box::new(writer))
        } else {
            let (shared, queue) = (self.shared.clone(), self.queue.clone());
            let run = move || {
                let ends = FailsWhenDropped(shared.clone());
                if let Err(error) = serve(&mut writer, &queue, &shared) {
                    shared.fail(error);
                }
                drop(ends);
            };
            let started = thread::Builder::new().name("quorate-log".to_owned()).spawn(run);
            let thread =
                started.map_err(StorageError::io("cannot start a thread for", self.folder.path()))?;
            Drive::Thread(thread)
        };
        Ok(recovered)
    }

    fn submit(&mut self, seq: WriteSeq, batch: Batch) -> Result<(), StorageError> {
        if self.shared.is_failed() {
            return Err(StorageError::Poisoned);
        }
        if batch.entry_bytes() > BATCH_BYTES_MAX {
            self.shared
                .fail(StorageError::Unsupported { what: "a batch of more than 1 GiB cannot be written" });
            return Err(StorageError::Poisoned);
        }
        if matches!(self.drive, Drive::Idle) {
            return Err(NOT_ATTACHED);
        }
        self.queue.push(seq, batch, self.shared.seed());
        if self.options.inline {
            self.shared.wake();
        }
        Ok(())
    }

    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<WriteSeq, StorageError>> {
        match &mut self.drive {
            Drive::Idle => return Poll::Ready(Err(NOT_ATTACHED)),
            Drive::Inline(writer) if !self.shared.is_failed() => {
                let has_work = !writer.group().is_done() || !self.queue.is_empty();
                if has_work && writer.is_full() {
                    writer.request_room();
                }
                write(writer, &self.queue, &self.shared).unwrap_or_else(|error| self.shared.fail(error));
            }
            Drive::Thread(_) | Drive::Inline(_) => {}
        }
        self.shared.poll(cx)
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    fn reader(&self) -> FileReader {
        FileReader::new(self.shared.clone(), self.reads.clone())
    }

    fn snapshots(&self) -> Box<dyn SnapshotStorage> {
        Box::new(FileSnapshots::new(
            self.folder.clone(),
            self.background.clone(),
            self.recycled.clone(),
            self.snapshots_begun.clone(),
        ))
    }
}

const NOT_ATTACHED: StorageError = StorageError::Unsupported { what: "a log is attached before it is used" };

/// Writes what is queued, as far as there is room, and tells.
fn write(writer: &mut Writer, queue: &Queue, shared: &Shared) -> Result<(), StorageError> {
    while queue.refill(writer.group()) {
        if let Some(durable) = writer.write()? {
            shared.publish(durable);
        }
        writer.free_compacted()?;
        if !writer.group().is_done() {
            break;
        }
    }
    Ok(())
}

/// The log's thread: takes what is queued, all at once, writes it, syncs it, and tells. While a sync is under way, what
/// comes next queues up; there is no timer in the path of a write.
fn serve(writer: &mut Writer, queue: &Queue, shared: &Shared) -> Result<(), StorageError> {
    loop {
        let has_room = writer.group().is_done();
        let news = queue.wait(patience(writer), has_room);
        write(writer, queue, shared)?;
        match news {
            News::Batches => {}
            News::Silence => {
                if writer.is_full() {
                    writer.request_room();
                }
                if writer.wants_mark() {
                    writer.mark(Mark::Idle)?;
                }
            }
            News::End => break,
        }
    }
    if let Some(durable) = writer.close()? {
        shared.publish(durable);
    }
    Ok(())
}

/// How long to wait for something to write before there is something else to do.
fn patience(writer: &mut Writer) -> Option<Duration> {
    let waits_for_room = writer.is_full() || !writer.group().is_done();
    if writer.wants_mark() { Some(IDLE) } else { waits_for_room.then_some(FULL) }
}

/// However the log's thread ends, nobody waits for it in vain. After an ordinary end nobody is left to ask.
struct FailsWhenDropped(Arc<Shared>);

impl Drop for FailsWhenDropped {
    fn drop(&mut self) {
        self.0.fail(StorageError::Poisoned);
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.drive, Drive::Idle) {
            Drive::Thread(thread) => {
                self.queue.end();
                // A panic there was told through the failure it left.
                drop(thread.join());
            }
            // Nobody is left to hear of an error.
            Drive::Inline(mut writer) if !self.shared.is_failed() => {
                drop(write(&mut writer, &self.queue, &self.shared).and_then(|()| writer.close()));
            }
            Drive::Idle | Drive::Inline(_) => {}
        }
        self.background.drain();
    }
}

impl fmt::Debug for FileLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLog").field("path", &self.folder.path()).finish_non_exhaustive()
    }
}
