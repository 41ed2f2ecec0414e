//! What clients were told is true: nothing acknowledged is lost, nothing refused happened, nothing happened twice, and
//! real time agrees with the order of the log (linearizability, by witness).
//!
//! Every answer says where it stands: a write its position and how many commands came before it, a read how many it
//! saw. The number of commands before is the place in one total order, so it is enough that this order agrees with
//! what was known when: an operation comes after all that were answered before it was asked.

use consensus_api::Engine;

use super::{Checked, violated};
use crate::simulator::{History, Ledger, Member, Operation, OperationResult as Outcome, Report};

/// Checks a whole history against the final state of any node; all nodes agree by then.
pub(crate) fn check<E: Engine>(history: &History, members: &[Member<E>], report: &mut Report) -> Checked {
    let Some(ledger) = members.iter().find_map(Member::ledger) else {
        return violated("nodes run in the end", "none does".to_owned());
    };
    if !ledger.doubled.is_empty() {
        return violated("no command is applied twice", format!("{:?}", ledger.doubled));
    }
    for (op, operation) in history.operations() {
        truthful(op, operation, ledger)?;
    }
    report.checks += history.operations().count() as u64;
    in_real_time(history)?;
    first_in_first_out(history)
}

fn truthful(op: u64, operation: &Operation, ledger: &Ledger) -> Checked {
    let applied = ledger.applied.get(&op);
    match (&operation.result, applied) {
        (Outcome::Wrote(answer), at) if at != Some(&(answer.0, answer.1)) => violated(
            "nothing acknowledged is lost",
            format!("command {op} was answered {answer:?}, and stands at {at:?}"),
        ),
        (Outcome::Failed, Some(at)) => violated(
            "what was refused did not happen",
            format!("command {op} of {operation:?} stands at {at:?}"),
        ),
        _ => Ok(()),
    }
}

/// The place of an operation in the one order: writes at twice their rank plus one, reads between writes.
fn place(operation: &Operation) -> Option<u64> {
    match operation.result {
        Outcome::Wrote((_, _, before)) => Some(2 * before + 1),
        Outcome::Read(seen) => Some(2 * seen),
        _ => None,
    }
}

/// Whatever was answered before an operation was asked stands before it.
fn in_real_time(history: &History) -> Checked {
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
            let what = format!(
                "operation {op} stands at {place}, though {} at {} was answered before",
                newest.1, newest.0
            );
            return violated("linearizable", what);
        }
    }
    Ok(())
}

/// The writes of one life of one node stand in the order in which they were handed over.
fn first_in_first_out(history: &History) -> Checked {
    let mut newest = std::collections::BTreeMap::new();
    for (op, operation) in history.operations() {
        if let Outcome::Wrote((index, offset, _)) = operation.result {
            let before = newest.insert(operation.asked, (index, offset));
            if before.is_some_and(|before| before >= (index, offset)) {
                let what = format!("command {op} stands at {index}.{offset}, an earlier one at {before:?}");
                return violated("first in, first out", what);
            }
        }
    }
    Ok(())
}
