//! [`Session`]: the client's side of a session, with the numbers of its commands.

use std::sync::{Mutex, MutexGuard, PoisonError};

use consensus_api::SessionId;
use tokio::sync::Notify;

use crate::sequences::Sequences;

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    sequences: Mutex<Sequences>,
    room: Notify,
}

/// A number that is in use until this is dropped.
#[derive(Debug)]
pub(crate) struct Numbered<'a> {
    pub(crate) sequence: u64,
    session: &'a Session,
}

impl Session {
    pub(crate) fn new(id: SessionId) -> Self {
        Self { id, sequences: Mutex::default(), room: Notify::new() }
    }

    /// A number for a command, as soon as there is one.
    pub(crate) async fn number(&self) -> Numbered<'_> {
        loop {
            let freed = self.room.notified();
            if let Some(sequence) = self.sequences().take() {
                return Numbered { sequence, session: self };
            }
            freed.await;
        }
    }

    /// The answers to all commands below this number are here, or no longer waited for.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.sequences().lowest_outstanding()
    }

    fn sequences(&self) -> MutexGuard<'_, Sequences> {
        // Every change is whole before anything can panic.
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        self.session.sequences().done(self.sequence);
        self.session.room.notify_waiters();
    }
}
