//! [`Ballast`]: a state machine that is small in memory, and large as a snapshot.

use std::io::{self, Read, Write};

use quorate::{Applied, Failure, Raw, Snapshot, StateMachine};

/// Counts commands, and pads its snapshots.
#[derive(Clone, Copy)]
pub(crate) struct Ballast {
    count: u64,
    padding_bytes: u64,
}

const PIECE_BYTES: u64 = 1 << 20;

impl Ballast {
    pub(crate) fn new(padding_bytes: u64) -> Self {
        Self { count: 0, padding_bytes }
    }
}

impl StateMachine for Ballast {
    type Command = Raw;
    type Response = u64;
    type Snapshot = Self;

    fn apply(&mut self, _at: Applied, _command: Raw) -> u64 {
        self.count += 1;
        self.count
    }

    fn snapshot(&self) -> Self {
        *self
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<(), Failure> {
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        self.count = u64::from_le_bytes(count);
        io::copy(from, &mut io::sink())?;
        Ok(())
    }
}

impl Snapshot for Ballast {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.count.to_le_bytes())?;
        let piece = vec![0x5a; PIECE_BYTES as usize];
        let mut left = self.padding_bytes;
        while left > 0 {
            let bytes = left.min(PIECE_BYTES);
            out.write_all(&piece[..bytes as usize])?;
            left -= bytes;
        }
        Ok(())
    }
}
