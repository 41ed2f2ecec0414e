//! Real time agrees with the one order of all operations. Looked at twice: by witness, for every answer says where it
//! stands, so it is enough that this order agrees with what was known when; and as an outsider, who sees of each key only
//! what was written and read ([`crate::linearizability`]).

use std::collections::BTreeMap;

use super::{Checked, violated};
use crate::linearizability::{Call, check};
use crate::simulator::{History, Operation, OperationKind as Kind, OperationResult as Outcome};

pub(super) const NAME: &str = "linearizability";

pub(super) fn ended(history: &History) -> Checked {
    by_witness(history)?;
    by_sight(history)
}

/// The place of an operation in the one order: writes at twice their rank plus one, reads between writes.
fn place(operation: &Operation) -> Option<u64> {
    match operation.result {
        Outcome::Wrote((_, _, before)) => Some(2 * before + 1),
        Outcome::Read { seen, .. } if operation.kind.is_linearizable_read() => Some(2 * seen),
        _ => None,
    }
}

/// Whatever was answered before an operation was asked stands before it.
fn by_witness(history: &History) -> Checked {
    let mut asked: Vec<_> =
        history.operations().filter_map(|(op, it)| Some((it.invoked, place(it)?, op))).collect();
    let mut answered: Vec<_> =
        history.operations().filter_map(|(op, it)| Some((it.answered?, place(it)?, op))).collect();
    asked.sort_unstable();
    answered.sort_unstable();
    let mut answered = answered.into_iter().peekable();
    let mut newest = (0, 0);
    for (invoked, place, op) in asked {
        while let Some((_, before, earlier)) = answered.next_if(|(time, _, _)| *time < invoked) {
            newest = newest.max((before, earlier));
        }
        if place < newest.0 {
            let (before, earlier) = newest;
            let what =
                format!("operation {op} stands at {place}, though {earlier} at {before} was answered before");
            return violated("linearizable", what);
        }
    }
    Ok(())
}

/// What each key shows is what one register would.
fn by_sight(history: &History) -> Checked {
    let mut keys: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
    for (op, operation) in history.operations() {
        let (from, upto) = (operation.invoked.0, operation.answered.map(|time| time.0));
        let call = match operation.result {
            Outcome::Wrote(_) => Call::write(from, upto, op),
            // It may have happened at any time since, or never.
            Outcome::Unknown | Outcome::Open if operation.kind == Kind::Write => Call::write(from, None, op),
            Outcome::Read { value, .. } if operation.kind.is_linearizable_read() => {
                Call::read(from, upto.unwrap_or(u64::MAX), value)
            }
            _ => continue,
        };
        keys.entry(operation.key).or_default().push(call);
    }
    for (key, calls) in keys {
        if let Err(why) = check(&calls) {
            return violated("linearizable, as each key shows", format!("key {key}: {why}"));
        }
    }
    Ok(())
}
