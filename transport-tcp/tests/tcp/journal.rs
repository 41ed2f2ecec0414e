//! What was logged.

use std::io::{self, Write};
use std::sync::{Mutex, Once};

static START: Once = Once::new();
static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Journal;

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep the log of this process.
pub(crate) fn start() {
    START.call_once(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Journal).init());
}

/// The lines that hold all of these texts.
pub(crate) fn lines_with(texts: &[&str]) -> usize {
    let written = WRITTEN.lock().unwrap();
    String::from_utf8_lossy(&written)
        .lines()
        .filter(|line| texts.iter().all(|text| line.contains(text)))
        .count()
}
