//! `Meter`: what a node counts. With the feature `metrics` it goes to the facade of that name, and so to whatever the
//! process exports; without it nothing is counted. The list stands in `docs/metrics.md`.

#[cfg(feature = "metrics")]
mod recording;
#[cfg(not(feature = "metrics"))]
mod silent;

#[cfg(feature = "metrics")]
pub(crate) use recording::Meter;
#[cfg(not(feature = "metrics"))]
pub(crate) use silent::Meter;

use consensus_api::{Index, Standing};

/// Where a node stands, as gauges show it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "shown to nobody"))]
pub(crate) struct Reading {
    pub(crate) standing: Standing,
    pub(crate) applied: Index,
    pub(crate) snapshot: Index,
    pub(crate) cached_bytes: usize,
}
