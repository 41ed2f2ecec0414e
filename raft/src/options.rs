//! [`Options`] of this engine alone.

use std::time::Duration;

use consensus_api::StartError;

/// What can be set for Raft beyond what all engines share.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long newcomers may take to catch up before a change of membership that is to make them voters is given up,
    /// and undone. 10 min by default: as long as a large snapshot takes. A newcomer that is not heard at all for five
    /// times the longest election timeout ends the change sooner.
    pub catch_up_timeout: Duration,
    /// Who should lead, given the choice: a leader hands over to a voter of higher priority once that one has caught up.
    /// 0 by default, for everyone.
    pub priority: u8,
    /// Answers lease reads out of a lease, without asking anyone, if the clocks of any two members drift apart by at most
    /// so many parts in a million. `None` by default: then they are linearizable reads. All members must be given the
    /// same, and the same election timeouts, for a lease rests on how long the others wait; 1000 is more than ordinary
    /// clocks need. A clock that stands still breaks the promise; a process that stands still does not.
    pub lease_drift_ppm_max: Option<u32>,
}

const MILLION: u32 = 1_000_000;

impl Default for Options {
    fn default() -> Self {
        Self { catch_up_timeout: Duration::from_secs(600), priority: 0, lease_drift_ppm_max: None }
    }
}

impl Options {
    /// Checks the options on their own.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.catch_up_timeout.is_zero() {
            let problem = "must be longer than zero, or nobody ever becomes a voter; 10 min is the default";
            return Err(StartError::Options { field: "catch_up_timeout", problem });
        }
        if self.lease_drift_ppm_max.is_some_and(|drift| drift >= MILLION / 2) {
            let problem =
                "must be below 500,000: with clocks that differ by half there is no lease; 1000 is ample";
            return Err(StartError::Options { field: "lease_drift_ppm_max", problem });
        }
        Ok(())
    }

    /// How long a lease holds, where voters wait for `timeout` by their own clocks before they elect another; `None`
    /// without leases.
    pub(crate) fn lease(&self, timeout: Duration) -> Option<Duration> {
        self.lease_drift_ppm_max.map(|drift| timeout / MILLION * (MILLION - drift))
    }
}
