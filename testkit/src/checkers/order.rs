//! First in, first out: the writes of one life of one node stand in the order in which they were handed over.

use std::collections::BTreeMap;

use super::{Checked, violated};
use crate::simulator::{History, OperationResult as Outcome};

pub(super) const NAME: &str = "order";

pub(super) fn ended(history: &History) -> Checked {
    let mut newest = BTreeMap::new();
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
