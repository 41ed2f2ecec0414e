//! [`Meter`] without the feature `metrics`.

use consensus_api::{Error, Lane, NodeId, Time};

use super::Reading;

/// Counts nothing.
pub(crate) struct Meter;

#[allow(clippy::unused_self, reason = "the shape of the one that counts")]
impl Meter {
    pub(crate) const fn new(_: NodeId) -> Self {
        Self
    }

    pub(crate) const fn proposed(&self, _commands: u32, _bytes: usize) {}

    pub(crate) const fn read(&self) {}

    pub(crate) const fn failed(&self, _: &Error) {}

    pub(crate) const fn write_began(&mut self, _now: Time) {}

    pub(crate) const fn write_ended(&mut self, _now: Time) {}

    pub(crate) const fn sent(&self, _: Lane, _bytes: usize) {}

    pub(crate) const fn dropped(&self) {}

    pub(crate) const fn received(&self, _bytes: usize) {}

    pub(crate) const fn snapshot_taken(&self) {}

    pub(crate) const fn snapshot_received(&self) {}

    pub(crate) const fn show(&mut self, _: &Reading) {}
}
