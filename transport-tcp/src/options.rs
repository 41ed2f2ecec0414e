//! [`Options`]: the limits and waits of the transport.

use std::ops::RangeInclusive;
use std::time::Duration;

use consensus_api::TransportError;

/// The largest [`Options::frame_bytes_max`].
const FRAME_BYTES_LIMIT: usize = 64 << 20;
/// The smallest [`Options::bulk_bytes_per_second_max`].
const BULK_BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// Shorter waits would spin; sums with longer ones might overflow.
const WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);

/// Limits and waits. Start from the default and change what you must:
///
/// ```
/// use quorate_transport_tcp::Options;
/// let options = Options { frame_bytes_max: 4 << 20, ..Options::default() };
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The largest frame, head and body together. Two nodes that differ use the smaller. Default 16 MiB, at most
    /// 64 MiB.
    pub frame_bytes_max: usize,
    /// What may wait in the control lane to one peer. Default 4 MiB.
    pub control_queue_bytes_max: usize,
    /// What may wait in the data lane to one peer. Default 64 MiB.
    pub data_queue_bytes_max: usize,
    /// What may wait in the bulk lane to one peer. Default 64 MiB.
    pub bulk_queue_bytes_max: usize,
    /// How many bytes a second go to one peer in the bulk lane, so that a snapshot leaves room for the rest. `None` is as
    /// fast as it goes. At least 64 KiB. Default `None`.
    pub bulk_bytes_per_second_max: Option<u64>,
    /// What may wait from one connection for this node to take it; beyond that its socket is not read. It may be
    /// exceeded by one frame. Default 32 MiB.
    pub inbox_bytes_max: usize,
    /// What goes into one write, and so what a control frame may have to wait for; it may be exceeded by one frame.
    /// Default 256 KiB.
    pub write_bytes_max: usize,
    /// How long resolving, connecting and the handshake may take together when dialling. Default 5 s.
    pub dial_wait_max: Duration,
    /// How long an accepted connection may take to complete its handshake. Default 5 s.
    pub handshake_wait_max: Duration,
    /// How many accepted connections may be without a completed handshake. One more, and the oldest is dropped.
    /// Default 64.
    pub handshakes_max: usize,
    /// The mean wait before the second attempt to connect is half of this; it doubles from there. Default 10 ms.
    pub reconnect_wait_min: Duration,
    /// The longest wait between two attempts to connect. Default 1 s.
    pub reconnect_wait_max: Duration,
    /// A connection on which nothing was heard for this long is closed. Pings go out four times as often. A node whose
    /// inbox is full for so long looks silent to its peers. Default 10 s; keep it the same on all nodes.
    pub silence_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_bytes_max: 16 << 20,
            control_queue_bytes_max: 4 << 20,
            data_queue_bytes_max: 64 << 20,
            bulk_queue_bytes_max: 64 << 20,
            bulk_bytes_per_second_max: None,
            inbox_bytes_max: 32 << 20,
            write_bytes_max: 256 << 10,
            dial_wait_max: Duration::from_secs(5),
            handshake_wait_max: Duration::from_secs(5),
            handshakes_max: 64,
            reconnect_wait_min: Duration::from_millis(10),
            reconnect_wait_max: Duration::from_secs(1),
            silence_max: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Checks that the options fit each other.
    pub(crate) fn check(&self) -> Result<(), TransportError> {
        let problems = [
            (self.frame_bytes_max == 0, "frame_bytes_max is 0; nothing could be sent, choose at least 1"),
            (
                self.frame_bytes_max > FRAME_BYTES_LIMIT,
                "frame_bytes_max exceeds 64 MiB; choose less and send more frames",
            ),
            (
                self.bulk_bytes_per_second_max.is_some_and(|rate| rate < BULK_BYTES_PER_SECOND_MIN),
                "bulk_bytes_per_second_max is below 64 KiB; a snapshot would hardly arrive, choose more",
            ),
            (self.inbox_bytes_max == 0, "inbox_bytes_max is 0; nothing could be received, choose at least 1"),
            (self.write_bytes_max == 0, "write_bytes_max is 0; nothing could be sent, choose at least 1"),
            (self.handshakes_max == 0, "handshakes_max is 0; nobody could connect, choose at least 1"),
            (!WAITS.contains(&self.dial_wait_max), "dial_wait_max is not within 1 ms to 1 day"),
            (!WAITS.contains(&self.handshake_wait_max), "handshake_wait_max is not within 1 ms to 1 day"),
            (!WAITS.contains(&self.reconnect_wait_min), "reconnect_wait_min is not within 1 ms to 1 day"),
            (!WAITS.contains(&self.reconnect_wait_max), "reconnect_wait_max is not within 1 ms to 1 day"),
            (
                self.reconnect_wait_max < self.reconnect_wait_min,
                "reconnect_wait_max is below reconnect_wait_min; choose more",
            ),
            (!WAITS.contains(&self.silence_max), "silence_max is not within 1 ms to 1 day"),
        ];
        match problems.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, problem)) => Err(TransportError(format!("the transport's option {problem}"))),
            None => Ok(()),
        }
    }
}
