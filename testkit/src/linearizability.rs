//! Whether what clients saw of a register can be explained by one order of all calls that agrees with real time
//! (Herlihy and Wing 1990).
//!
//! In general that takes a search. Where all writes write different values, a read says which write it saw, and it takes
//! no more than sorting (Gibbons and Korach 1997, "Testing shared memories", section 4): all calls about one value stand
//! together in any order that explains them, so it is enough to compare values two by two. Linearizability is local: a
//! history of many keys is checked key by key.
//!
//! ```
//! use quorate_testkit::linearizability::{Call, check};
//!
//! let write = Call::write(0, Some(10), 7); // from time 0 to time 10
//! assert!(check(&[write, Call::read(5, 6, None)]).is_ok()); // it may come after the read
//! assert!(check(&[write, Call::read(11, 12, None)]).is_err()); // it was over, and is not seen
//! ```

use std::collections::BTreeMap;
use std::fmt;

/// A call to a register, from when it was made to when it was answered. Of two at the same moment neither is first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    invoked: u64,
    /// `None` while nobody knows whether it happened.
    answered: Option<u64>,
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Write(u64),
    Read(Option<u64>),
}

impl Call {
    /// A write. If it was never answered, it may take effect at any time after, or never.
    pub const fn write(invoked: u64, answered: Option<u64>, value: u64) -> Self {
        Self { invoked, answered, action: Action::Write(value) }
    }

    /// A read, and what it saw: `None` before the first write.
    pub const fn read(invoked: u64, answered: u64, saw: Option<u64>) -> Self {
        Self { invoked, answered: Some(answered), action: Action::Read(saw) }
    }

    const fn value(&self) -> Option<u64> {
        match self.action {
            Action::Write(value) => Some(value),
            Action::Read(saw) => saw,
        }
    }

    /// When it began and was over, counted from 1: before that, the register had no value.
    fn span(&self) -> (u64, u64) {
        (self.invoked.saturating_add(1), self.answered.unwrap_or(u64::MAX).saturating_add(1))
    }
}

/// Why no order explains a history. Values are as read: `None` is the register before the first write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotLinearizable {
    /// A value was seen before it was written, or though nobody wrote it.
    FromNowhere {
        /// The value.
        value: Option<u64>,
    },
    /// Two writes wrote the same value; this check is not for such histories.
    WrittenTwice {
        /// The value.
        value: u64,
    },
    /// A call about each value was over before one about the other began.
    BothFirst {
        /// One value.
        one: Option<u64>,
        /// The other.
        other: Option<u64>,
    },
}

impl fmt::Display for NotLinearizable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromNowhere { value } => write!(f, "{value:?} was seen before anyone wrote it"),
            Self::WrittenTwice { value } => write!(f, "{value} was written twice"),
            Self::BothFirst { one, other } => {
                write!(f, "{one:?} was seen or written before {other:?}, and {other:?} before {one:?}")
            }
        }
    }
}

/// All calls about one value: the first moment at which one was over, and the last at which one began.
#[derive(Clone, Copy, Debug)]
struct Zone {
    value: Option<u64>,
    first_over: u64,
    last_begun: u64,
    /// When the write began.
    written: Option<u64>,
    earliest_read_over: u64,
}

/// Whether one order explains these calls to one register.
///
/// # Errors
/// What none explains.
pub fn check(calls: &[Call]) -> Result<(), NotLinearizable> {
    let zones = zones(calls)?;
    // Values that must hold throughout a time: from the first answer about it to the last question.
    let (mut held, fleeting): (Vec<Zone>, Vec<Zone>) =
        zones.into_values().partition(|zone| zone.first_over < zone.last_begun);
    held.sort_unstable_by_key(|zone| zone.first_over);
    for pair in held.windows(2) {
        if pair[1].first_over < pair[0].last_begun {
            return Err(NotLinearizable::BothFirst { one: pair[0].value, other: pair[1].value });
        }
    }
    // Others must hold at one moment of a time: not while another value holds throughout.
    for zone in fleeting {
        let before = held.partition_point(|other| other.first_over < zone.last_begun);
        let Some(other) = before.checked_sub(1).map(|at| held[at]) else { continue };
        if zone.first_over < other.last_begun {
            return Err(NotLinearizable::BothFirst { one: other.value, other: zone.value });
        }
    }
    Ok(())
}

fn zones(calls: &[Call]) -> Result<BTreeMap<Option<u64>, Zone>, NotLinearizable> {
    let empty = |value| Zone {
        value,
        first_over: u64::MAX,
        last_begun: 0,
        written: None,
        earliest_read_over: u64::MAX,
    };
    let mut zones = BTreeMap::new();
    for call in calls {
        let value = call.value();
        let zone = zones.entry(value).or_insert_with(|| empty(value));
        let (begun, over) = call.span();
        zone.first_over = zone.first_over.min(over);
        zone.last_begun = zone.last_begun.max(begun);
        match call.action {
            Action::Write(value) if zone.written.is_some() => {
                return Err(NotLinearizable::WrittenTwice { value });
            }
            Action::Write(_) => zone.written = Some(begun),
            Action::Read(_) => zone.earliest_read_over = zone.earliest_read_over.min(over),
        }
    }
    // The register begins with no value, written at time 0, before all calls.
    if let Some(zone) = zones.get_mut(&None) {
        (zone.first_over, zone.written) = (0, Some(0));
    }
    let unwritten = |zone: &&Zone| zone.written.is_none_or(|written| zone.earliest_read_over < written);
    match zones.values().find(unwritten) {
        Some(zone) => Err(NotLinearizable::FromNowhere { value: zone.value }),
        None => Ok(zones),
    }
}

#[cfg(test)]
mod tests;
