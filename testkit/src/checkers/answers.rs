//! What clients were told is true: nothing acknowledged is lost, nothing refused happened, nothing happened twice.

use super::{Checked, violated};
use crate::simulator::{History, Ledger, OperationResult as Outcome};

pub(super) const NAME: &str = "answers";

/// Checks a whole history against the final state of any node; all nodes agree by then.
pub(super) fn ended(history: &History, ledger: &Ledger) -> Checked {
    if !ledger.doubled.is_empty() {
        return violated("no command is applied twice", format!("{:?}", ledger.doubled));
    }
    for (op, operation) in history.operations() {
        match (&operation.result, ledger.applied.get(&op)) {
            (Outcome::Wrote(answer), at) if at != Some(&(answer.0, answer.1)) => {
                let what = format!("command {op} was answered {answer:?}, and stands at {at:?}");
                return violated("nothing acknowledged is lost", what);
            }
            (Outcome::Failed, Some(at)) => {
                let what = format!("command {op} of {operation:?} stands at {at:?}");
                return violated("what was refused did not happen", what);
            }
            _ => {}
        }
    }
    Ok(())
}
