//! [`Limits`]: how much a client may ask of a server. Beyond each of them stands an error, never a crash.

use clap::Args;

/// Options of a member, with their defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Args)]
#[allow(clippy::struct_field_names, reason = "every one of them is the most of something")]
pub struct Limits {
    /// The longest key, in bytes.
    #[arg(long, default_value_t = Self::KEY_BYTES_MAX, value_name = "BYTES")]
    pub key_bytes_max: usize,
    /// The longest value, in bytes.
    #[arg(long, default_value_t = Self::VALUE_BYTES_MAX, value_name = "BYTES")]
    pub value_bytes_max: usize,
    /// The longest command with all its arguments, in bytes. A client that sends a longer one is disconnected.
    #[arg(long, default_value_t = Self::REQUEST_BYTES_MAX, value_name = "BYTES")]
    pub request_bytes_max: usize,
    /// Clients connected at a time. One more is told so and disconnected.
    #[arg(long, default_value_t = Self::CONNECTIONS_MAX, value_name = "COUNT")]
    pub connections_max: usize,
    /// Commands of one connection under way at a time. Further ones wait in the socket.
    #[arg(long, default_value_t = Self::PIPELINE_DEPTH_MAX, value_name = "COUNT")]
    pub pipeline_depth_max: usize,
}

impl Limits {
    pub const KEY_BYTES_MAX: usize = 64 << 10;
    pub const VALUE_BYTES_MAX: usize = 1 << 20;
    /// Above [`VALUE_BYTES_MAX`](Self::VALUE_BYTES_MAX), so that a value somewhat too long costs an error only.
    pub const REQUEST_BYTES_MAX: usize = 4 << 20;
    pub const CONNECTIONS_MAX: usize = 10_000;
    pub const PIPELINE_DEPTH_MAX: usize = 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes_max: Self::KEY_BYTES_MAX,
            value_bytes_max: Self::VALUE_BYTES_MAX,
            request_bytes_max: Self::REQUEST_BYTES_MAX,
            connections_max: Self::CONNECTIONS_MAX,
            pipeline_depth_max: Self::PIPELINE_DEPTH_MAX,
        }
    }
}
