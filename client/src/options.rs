//! [`ClientOptions`]: how long a client tries, and how long its session outlives it.

use std::time::Duration;

/// Options of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientOptions {
    /// A request is tried for so long, on one member after the other. 30 s by default. After it, a command whose fate is
    /// not known ends as [`OutcomeUnknown`](consensus_api::Error::OutcomeUnknown).
    pub deadline: Duration,
    /// One attempt takes at most so long. 7 s by default: a little more than a node's own `request_deadline`.
    pub attempt_max: Duration,
    /// The pause after a first attempt that failed; it doubles with every further one, up to a second. 20 ms by default.
    pub pause: Duration,
    /// The replicas forget the session once it was not used for so long; the client then opens another. 1 h by default;
    /// at most 7 days.
    pub session_idle_max: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            attempt_max: Duration::from_secs(7),
            pause: Duration::from_millis(20),
            session_idle_max: Duration::from_secs(60 * 60),
        }
    }
}

/// Pauses between attempts grow no longer.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(1);
