//! [`PointInTime`]: a snapshot on its way out, with what the node adds to it.

use std::io::{self, Read, Write};

use consensus_api::{Failure, LogTime, Snapshot, SnapshotMark};

use crate::sessions::{Limits, Sessions, SessionsStored};

/// A state at one point of the log, to be written out.
#[derive(Debug)]
pub struct PointInTime<T> {
    /// The point.
    pub mark: SnapshotMark,
    envelope: Envelope,
    state: T,
}

/// What the node adds to the state machine's own.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) time: LogTime,
    pub(super) sessions: SessionsStored,
}

/// A snapshot begins with this and the log's time, 8 bytes each. The sessions follow, then the state machine's own.
const VERSION: u64 = 2;
/// Snapshots of this version hold no sessions.
const VERSION_WITHOUT_SESSIONS: u64 = 1;

impl<T> PointInTime<T> {
    pub(super) const fn new(mark: SnapshotMark, envelope: Envelope, state: T) -> Self {
        Self { mark, envelope, state }
    }
}

impl<T: Snapshot> PointInTime<T> {
    /// Writes the snapshot with its envelope.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&self.envelope.time.0.to_le_bytes())?;
        self.envelope.sessions.write_to(out)?;
        self.state.write_to(out)
    }
}

/// Reads what the node added; the state machine's own follows.
pub(super) fn open(limits: Limits, from: &mut dyn Read) -> Result<(LogTime, Sessions), Failure> {
    let (mut version, mut time) = ([0; 8], [0; 8]);
    from.read_exact(&mut version)?;
    from.read_exact(&mut time)?;
    let sessions = match u64::from_le_bytes(version) {
        VERSION => Sessions::restore(limits, from)?,
        VERSION_WITHOUT_SESSIONS => Sessions::new(limits),
        _ => return Err(Failure("the snapshot was written by a newer version".to_owned())),
    };
    Ok((LogTime(u64::from_le_bytes(time)), sessions))
}
