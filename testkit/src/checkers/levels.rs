//! Read levels: a read sees what its level promises; and at whatever level, it sees the state after some command of the one
//! order, never half of one, nor a state that no replica goes through.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::Time;
use node::ReadLevel;

use super::{Checked, violated};
use crate::simulator::{
    History, IN_SESSION, KEYS, Ledger, Operation, OperationKind as Kind, OperationResult as Outcome,
};

pub(super) const NAME: &str = "levels";

pub(super) fn ended(history: &History, ledger: &Ledger) -> Checked {
    let order = Order::of(ledger);
    let answered = Answered::of(history);
    for (op, operation) in history.operations() {
        let (Kind::Read { level, floor }, Outcome::Read { seen, value }) =
            (operation.kind, &operation.result)
        else {
            continue;
        };
        let held = order.newest_of(operation.key, *seen);
        if held != *value {
            let what =
                format!("read {op} saw {value:?} after {seen} commands, of which the last is {held:?}");
            return violated("every read sees a state that all replicas go through", what);
        }
        let (must, property) = match level {
            ReadLevel::AtLeast(_) => (floor, "a read sees the write it asked for"),
            ReadLevel::Stale { max_lag } => {
                (answered.before(operation, max_lag), "a read is no staler than it may be")
            }
            _ => continue,
        };
        if *seen < must {
            return violated(property, format!("read {op} saw {seen} commands, not {must}: {operation:?}"));
        }
    }
    Ok(())
}

/// The commands on each key, with how many of all commands were before each.
struct Order(BTreeMap<u64, Vec<(u64, u64)>>);

impl Order {
    fn of(ledger: &Ledger) -> Self {
        let mut placed: Vec<_> = ledger.applied.iter().map(|(command, at)| (*at, *command)).collect();
        placed.sort_unstable();
        let mut keys: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (before, (_, command)) in (0..).zip(placed) {
            if command & IN_SESSION == 0 {
                keys.entry(command % KEYS).or_default().push((before, command));
            }
        }
        Self(keys)
    }

    /// What the key holds after so many commands.
    fn newest_of(&self, key: u64, seen: u64) -> Option<u64> {
        let commands = self.0.get(&key)?;
        let upto = commands.partition_point(|(before, _)| *before < seen);
        commands[..upto].last().map(|(_, command)| *command)
    }
}

/// When so many commands were known to be in the log, because a write was answered: both halves ascend.
struct Answered(Vec<(Time, u64)>);

impl Answered {
    fn of(history: &History) -> Self {
        let writes = history.operations().filter_map(|(_, operation)| match operation.result {
            Outcome::Wrote((_, _, before)) => Some((operation.answered?, before + 1)),
            _ => None,
        });
        let mut answered: Vec<_> = writes.collect();
        answered.sort_unstable();
        let mut most = 0;
        for (_, known) in &mut answered {
            most = most.max(*known);
            *known = most;
        }
        Self(answered)
    }

    /// How many commands a read must see that may lag so far.
    fn before(&self, read: &Operation, max_lag: Duration) -> u64 {
        let lag = u64::try_from(max_lag.as_nanos()).unwrap_or(u64::MAX);
        let Some(moment) = read.invoked.0.checked_sub(lag) else { return 0 };
        let upto = self.0.partition_point(|(time, _)| time.0 < moment);
        self.0[..upto].last().map_or(0, |(_, known)| *known)
    }
}
