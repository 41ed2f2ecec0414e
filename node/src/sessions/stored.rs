//! [`SessionsStored`]: sessions as they stand in a snapshot.
//!
//! ```text
//!  u64  length of all that follows
//!  per session, by id:
//!    u64  index   u32  offset   u64  idle_max_ms   u64  ends   u64  acknowledged
//!    u32  number of answers; per answer, by sequence:
//!      u64  sequence   u32  length, or ffff_ffff for one that was too large to keep   bytes
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, TryGetError};
use consensus_api::{Failure, Index, LogTime, SessionId};

use super::{Limits, Remembered, Session, Sessions};

/// All sessions at one moment, to be written out.
#[derive(Debug)]
pub(crate) struct SessionsStored(BTreeMap<SessionId, Arc<Session>>);

const TOO_LARGE: u32 = u32::MAX;

impl Sessions {
    /// All sessions as they are now. Cheap: the answers are shared.
    pub(crate) fn store(&self) -> SessionsStored {
        SessionsStored(self.table.clone())
    }

    /// Reads back what [`SessionsStored::write_to`] wrote.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are something else.
    pub(crate) fn restore(limits: Limits, from: &mut dyn Read) -> Result<Self, Failure> {
        let mut len = [0; 8];
        from.read_exact(&mut len)?;
        let len = u64::from_le_bytes(len);
        let mut bytes = Vec::new();
        from.take(len).read_to_end(&mut bytes)?;
        let broken = || Failure("the sessions in the snapshot are damaged".to_owned());
        if bytes.len() as u64 != len {
            return Err(broken());
        }
        let mut bytes = Bytes::from(bytes);
        let mut sessions = Self::new(limits);
        while bytes.has_remaining() {
            let (id, session) = decode(&mut bytes).map_err(|_| broken())?;
            sessions.answers_bytes += session.answers.values().map(Remembered::cost_bytes).sum::<usize>();
            sessions.by_end.insert((session.ends, id));
            sessions.table.insert(id, Arc::new(session));
        }
        Ok(sessions)
    }
}

impl SessionsStored {
    /// Writes them in the form described above.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub(crate) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let len: usize = self.0.values().map(|session| stored_len(session)).sum();
        out.write_all(&(len as u64).to_le_bytes())?;
        let mut scratch = Vec::new();
        for (id, session) in &self.0 {
            scratch.clear();
            encode(*id, session, &mut scratch);
            out.write_all(&scratch)?;
        }
        Ok(())
    }
}

const SESSION_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 4;
const ANSWER_BYTES: usize = 8 + 4;

fn stored_len(session: &Session) -> usize {
    let answer_len = |answer: &Remembered| match answer {
        Remembered::Answer(answer) => ANSWER_BYTES + answer.len(),
        Remembered::TooLarge => ANSWER_BYTES,
    };
    SESSION_BYTES + session.answers.values().map(answer_len).sum::<usize>()
}

fn encode(id: SessionId, session: &Session, out: &mut Vec<u8>) {
    out.put_u64_le(id.index.0);
    out.put_u32_le(id.offset);
    out.put_u64_le(session.idle_max_ms);
    out.put_u64_le(session.ends.0);
    out.put_u64_le(session.acknowledged);
    out.put_u32_le(session.answers.len() as u32);
    for (sequence, answer) in &session.answers {
        out.put_u64_le(*sequence);
        match answer {
            Remembered::Answer(answer) => {
                out.put_u32_le(answer.len() as u32);
                out.put_slice(answer);
            }
            Remembered::TooLarge => out.put_u32_le(TOO_LARGE),
        }
    }
}

fn decode(from: &mut Bytes) -> Result<(SessionId, Session), TryGetError> {
    let id = SessionId { index: Index(from.try_get_u64_le()?), offset: from.try_get_u32_le()? };
    let idle_max_ms = from.try_get_u64_le()?;
    let ends = LogTime(from.try_get_u64_le()?);
    let acknowledged = from.try_get_u64_le()?;
    let mut answers = BTreeMap::new();
    for _ in 0..from.try_get_u32_le()? {
        let sequence = from.try_get_u64_le()?;
        let remembered = match from.try_get_u32_le()? {
            TOO_LARGE => Remembered::TooLarge,
            len => {
                let (requested, available) = (len as usize, from.remaining());
                if requested > available {
                    return Err(TryGetError { requested, available });
                }
                // A copy, lest a small answer keep the whole snapshot's bytes alive.
                Remembered::Answer(Bytes::copy_from_slice(&from.split_to(requested)))
            }
        };
        answers.insert(sequence, remembered);
    }
    Ok((id, Session { idle_max_ms, ends, acknowledged, answers }))
}
