//! Ports for servers that tests start, stop and start again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the system takes ports for outgoing connections from: a port that is free for a moment, because
/// its server restarts, is not taken by anybody's connection.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Ports that nobody listens on, all different, and different for each call.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(613);
    [(); N].map(|()| {
        loop {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = FIRST + (begin.wrapping_add(step) % u32::from(COUNT)) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}
