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
}

impl Default for Options {
    fn default() -> Self {
        Self { catch_up_timeout: Duration::from_secs(600), priority: 0 }
    }
}

impl Options {
    /// Checks the options on their own.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.catch_up_timeout.is_zero() {
            let problem = "must be longer than zero, or nobody ever becomes a voter; 10 min is the default";
            return Err(StartError::Options { field: "catch_up_timeout", problem });
        }
        Ok(())
    }
}
