//! [`Options`] of this engine alone.

use std::time::Duration;

use consensus_api::StartError;

/// What can be set for Multi-Paxos beyond what all engines share.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many voters must promise before a leader may propose. A majority by default. Together with
    /// [`phase_2_quorum`](Self::phase_2_quorum) it must exceed the number of voters; the same on all members.
    pub phase_1_quorum: Option<usize>,
    /// How many voters must accept before a value is chosen, or answer before a read is. A majority by default.
    pub phase_2_quorum: Option<usize>,
    /// How many slots above the chosen prefix a leader works on at a time. 1,024 by default; at least 1. It bounds what
    /// a new leader holds in memory while it takes up what its predecessors left; and a change of voters takes effect so
    /// many slots behind its own. The same on all members, and for as long as the cluster lives: a member that was given
    /// another one stops, and says so.
    pub window_entries_max: u64,
    /// How long newcomers may take to catch up before a change of membership that is to make them voters is given up,
    /// and undone. 10 min by default: as long as a large snapshot takes. A newcomer that is not heard at all for five
    /// times the longest election timeout ends the change sooner.
    pub catch_up_timeout: Duration,
    /// Answers lease reads out of a lease, without asking anyone, if the clocks of any two members drift apart by at most
    /// so many parts in a million. `None` by default: then they are linearizable reads. All members must be given the
    /// same; 1000 is more than ordinary clocks need. A clock that stands still breaks the promise; a process that stands
    /// still does not.
    pub lease_drift_ppm_max: Option<u32>,
}

const MILLION: u32 = 1_000_000;

impl Default for Options {
    fn default() -> Self {
        Self {
            phase_1_quorum: None,
            phase_2_quorum: None,
            window_entries_max: 1024,
            catch_up_timeout: Duration::from_secs(600),
            lease_drift_ppm_max: None,
        }
    }
}

impl Options {
    /// Checks the options on their own.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if self.window_entries_max == 0 {
            let problem = "must be greater than zero, or nothing is ever proposed";
            return Err(StartError::Options { field: "window_entries_max", problem });
        }
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

    /// How long a lease holds, where whoever grants it promises nobody else anything for `granted` by its own clock;
    /// `None` without leases.
    pub(super) fn lease(&self, granted: Duration) -> Option<Duration> {
        self.lease_drift_ppm_max.map(|drift| granted / MILLION * (MILLION - drift))
    }
}
