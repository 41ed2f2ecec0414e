//! [`Journal`]: what happened in a run, in lines that a person can read. Kept only when asked for.

use std::collections::VecDeque;

use consensus_api::{NodeId, Standing, Time};

/// The last lines of a run.
#[derive(Debug, Default)]
pub(super) struct Journal {
    lines: VecDeque<String>,
    /// How many to keep; none by default.
    lines_max: usize,
}

impl Journal {
    pub(super) fn keep(&mut self, lines_max: usize) {
        self.lines_max = lines_max;
    }

    pub(super) fn tell(&mut self, now: Time, what: impl FnOnce() -> String) {
        if self.lines_max == 0 {
            return;
        }
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        let micros = now.0 / 1000;
        self.lines.push_back(format!("{:>6}.{:06} s  {}", micros / 1_000_000, micros % 1_000_000, what()));
    }

    /// What became of a node's standing.
    pub(super) fn moved(&mut self, now: Time, node: NodeId, before: Standing, after: Standing) {
        if before.role != after.role || before.generation != after.generation {
            let (role, generation, last) = (after.role.as_str(), after.generation, after.last);
            self.tell(now, || format!("node {node} is {role} at {generation}, its log ends at {last}"));
        }
        if before.commit != after.commit {
            let (from, to) = (before.commit, after.commit);
            self.tell(now, || format!("node {node} commits {} to {to}", from.next()));
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
