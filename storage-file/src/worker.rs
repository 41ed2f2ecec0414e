//! A thread for blocking file work, so that no runtime ever waits for a disk.
//!
//! Own threads rather than a runtime's blocking pool: the store then runs under any executor, and the pool, which
//! others may have filled, never stands between a node and its log.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use consensus_api::StorageError;
use futures::channel::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Carries out jobs one after the other, in the order in which they came. Cloning shares the thread, which ends with
/// the last clone.
#[derive(Clone)]
pub(crate) enum Worker {
    /// At once, in the caller's thread: for simulation, where nothing may happen beside anything else.
    Inline,
    /// In a thread of its own.
    Thread(mpsc::Sender<Job>),
}

impl Worker {
    /// Starts a thread; `folder` is for the message should that fail.
    pub(crate) fn spawn(name: &str, folder: &Path) -> Result<Self, StorageError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || queue.into_iter().for_each(|job| job());
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        started.map_err(StorageError::io("cannot start a thread for", folder))?;
        Ok(Self::Thread(jobs))
    }

    /// Hands over a job whose end nobody waits for.
    pub(crate) fn post(&self, job: impl FnOnce() + Send + 'static) {
        match self {
            Self::Inline => job(),
            // A thread that is gone has panicked; whoever waits for a result is told so.
            Self::Thread(jobs) => drop(jobs.send(Box::new(job))),
        }
    }

    /// Hands over a job and waits for its result, without blocking.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, result) = oneshot::channel();
        self.post(move || {
            // Nobody may wait any more.
            let _ = answer.send(job());
        });
        result.await.unwrap_or(Err(StorageError::Poisoned))
    }

    /// Blocks until everything handed over before is done.
    pub(crate) fn drain(&self) {
        let (done, wait) = mpsc::channel();
        self.post(move || {
            let _ = done.send(());
        });
        // An error means that the thread is gone, and so is its work.
        let _ = wait.recv();
    }
}
