//! [`Recovery`]: phase 1, and taking up what earlier ballots left (Lamport 2001, section 2.2, P2c; section 3, on the gaps
//! a new leader fills).
//!
//! Reports are pulled, a part at a time: each voter is asked for what it accepted from some slot on, and after its answer
//! for what lies above. So a report of any length comes in frames of bounded size, and a lost part is asked for again.

use std::collections::BTreeMap;

use consensus_api::mutation::mutated;
use consensus_api::{After, Effects, Entry, Generation, Index, NodeId};

use super::{Body, Message, MultiPaxos, State};
use crate::log::is_well_formed;
use crate::quorum::Phase;

/// What a proposer has been told about the open slots.
#[derive(Clone, Hash, Debug)]
pub(super) struct Recovery {
    /// One per voter, in ascending order.
    reports: Vec<Report>,
    /// By slot: of the values reported so far, the one of the highest ballot. Only slots not proposed in yet.
    values: BTreeMap<Index, Entry>,
    /// Their bytes.
    bytes: usize,
    /// Everything up to here is chosen, according to someone.
    chosen: Index,
    /// The highest slot in which anyone has accepted anything.
    last: Index,
}

/// How much of a voter's report is there.
#[derive(Clone, Hash, Debug)]
struct Report {
    voter: NodeId,
    /// It has promised, and reported everything up to here.
    covered: Option<Index>,
    /// It was asked for more, and has not answered.
    asked: bool,
}

/// A part of a report: the slots from `from` on, up to the last entry beside it, or, if nothing was accepted, `upto`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) from: Index,
    pub(super) upto: Index,
    /// The ballot of the entries; zero for a hole.
    pub(super) accepted: Generation,
    /// The highest slot in which this voter has accepted anything.
    pub(super) last: Index,
}

impl Recovery {
    /// Nobody has promised yet; this member itself has accepted something up to `last`.
    pub(super) fn new(voters: Vec<NodeId>, last: Index) -> Self {
        let report = |voter| Report { voter, covered: None, asked: true };
        let reports = voters.into_iter().map(report).collect();
        Self { reports, values: BTreeMap::new(), bytes: 0, chosen: Index::ZERO, last }
    }

    fn report(&self, voter: NodeId) -> Option<&Report> {
        self.reports.binary_search_by_key(&voter, |report| report.voter).ok().map(|at| &self.reports[at])
    }

    fn report_mut(&mut self, voter: NodeId) -> Option<&mut Report> {
        let at = self.reports.binary_search_by_key(&voter, |report| report.voter).ok()?;
        Some(&mut self.reports[at])
    }

    pub(super) fn has_promised(&self, voter: NodeId) -> bool {
        self.report(voter).is_some_and(|report| report.covered.is_some())
    }

    fn covered(&self, voter: NodeId) -> u64 {
        self.report(voter).and_then(|report| report.covered).map_or(0, |covered| covered.0)
    }

    /// Others vote from now on: they are asked, too, and those who vote no longer are not.
    pub(super) fn ask_these(&mut self, voters: &[NodeId]) {
        self.reports.retain(|report| voters.contains(&report.voter));
        for voter in voters {
            if let Err(at) = self.reports.binary_search_by_key(voter, |report| report.voter) {
                self.reports.insert(at, Report { voter: *voter, covered: None, asked: false });
            }
        }
    }

    /// The first questions are on their way to all others; the own report waits for the own promise.
    pub(super) fn ask_myself(&mut self, node: NodeId) {
        if let Some(report) = self.report_mut(node) {
            report.asked = false;
        }
    }

    /// A heartbeat is due: whatever was asked may be lost.
    pub(super) fn ask_again(&mut self) {
        self.reports.iter_mut().for_each(|report| report.asked = false);
    }

    /// Keeps a value if no other of a higher ballot was reported for its slot: the highest *accepted* ballot at *that*
    /// slot counts, nothing else (frankenpaxos' CASPaxos took the lowest; OCons PR #21 chose per log, not per slot).
    fn keep(&mut self, entry: &Entry) {
        let known = self.values.get(&entry.index);
        let (lower, first) = (mutated("paxos/lowest-ballot-adopted"), mutated("paxos/first-value-adopted"));
        if known.is_none_or(|known| !first && (known.generation < entry.generation) != lower) {
            self.bytes += entry.record_len();
            if let Some(old) = self.values.insert(entry.index, entry.clone()) {
                self.bytes -= old.record_len();
            }
        }
    }

    /// Takes the value to propose in a slot, and forgets those below.
    fn take(&mut self, slot: Index) -> Option<Entry> {
        while let Some(first) = self.values.first_entry().filter(|first| *first.key() <= slot) {
            let entry = first.remove();
            self.bytes -= entry.record_len();
            if entry.index == slot {
                return Some(entry);
            }
        }
        None
    }

    /// The values kept, for the invariants.
    pub(super) fn values(&self) -> impl Iterator<Item = &Entry> {
        self.values.values()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl MultiPaxos {
    /// A voter has promised this ballot, and reports a part of what it accepted.
    pub(super) fn on_promise(
        &mut self,
        from: NodeId,
        ballot: Generation,
        part: Part,
        commit: Index,
        entries: &[Entry],
    ) {
        if !self.leads(ballot) && !mutated("paxos/promise-of-another-ballot") {
            return; // of an earlier attempt, or for someone else
        }
        self.contact(from);
        let known = self.commit.max(commit); // what is chosen need not be reported
        let State::Proposing(leading) = &mut self.state else { return };
        let (next, recovery) = (leading.next, &mut leading.recovery);
        let known = known.max(next.prev()); // nor what this ballot has proposed in
        let sound = is_well_formed(entries)
            && entries.iter().all(|entry| entry.generation == part.accepted && entry.generation <= ballot)
            && entries.first().is_none_or(|first| first.index == part.from);
        let Some(report) = recovery.report_mut(from).filter(|_| sound) else { return };
        report.asked = false;
        let covered = report.covered.unwrap_or_default().max(known);
        let tells = entries.last().map_or(part.upto, |last| last.index);
        // A part that does not continue what is there says nothing about the slots between.
        let continues = part.from <= covered.next();
        let tells = if tells >= part.last && continues { Index(u64::MAX) } else { tells };
        report.covered = Some(if continues { covered.max(tells) } else { covered });
        recovery.chosen = recovery.chosen.max(commit);
        recovery.last = recovery.last.max(part.last);
        // What this very ballot proposed was chosen from the reports before; so was all below the next slot.
        let open = entries.iter().filter(|entry| entry.index >= next && entry.generation < ballot);
        open.for_each(|entry| recovery.keep(entry));
    }

    /// Asks for what is missing of the reports, within the window, and within a budget of bytes: save for what holds up
    /// the very next slot.
    pub(super) fn pull_reports(&mut self, effects: &mut Effects<Message>) {
        let (commit, window) = (self.commit, self.window);
        let Self { state: State::Proposing(leading), acceptor, .. } = self else { return };
        let (ballot, after, next) = (leading.ballot, leading.after, leading.next);
        if next <= leading.free_upto {
            return; // nothing is to be taken up
        }
        let recovery = &mut leading.recovery;
        if acceptor.unsynced().is_some() {
            return; // the first questions wait for the own promise
        }
        let is_full = recovery.bytes >= self.limits.inflight_bytes_max;
        let end = commit.plus(window);
        let mut own = None;
        for report in &mut recovery.reports {
            let from = report.covered.unwrap_or_default().max(commit).max(next.prev()).next();
            let wanted = report
                .covered
                .is_none_or(|covered| covered < Index(u64::MAX) && from <= end && (!is_full || from <= next));
            if !wanted || report.asked {
                continue;
            }
            report.asked = true;
            if report.voter == self.node {
                own = Some(from);
            } else {
                effects.send(
                    report.voter,
                    After::Now,
                    Message { ballot, body: Body::Prepare { from, after, window } },
                );
            }
        }
        if let Some(from) = own {
            self.report_to_self(ballot, from);
        }
    }

    /// This member's own promise is durable, and its own report goes the same way as all others: through the log.
    fn report_to_self(&mut self, ballot: Generation, from: Index) {
        let part = self.report(from);
        if part.accepted == Generation::ZERO {
            self.on_promise(self.node, ballot, part, self.commit, &[]);
        } else {
            self.supply(self.node).report(ballot, from);
        }
    }

    /// Proposes anew, in order, what earlier ballots left in the open slots, as far as a quorum's reports and the window
    /// reach. Called after every step, so that a window that slides never frees a slot that was not looked at.
    ///
    /// 1. What is chosen is never proposed again, but learnt.
    /// 2. Of the values reported for a slot, the one of the highest ballot is proposed.
    /// 3. A slot below the highest one reported, for which a quorum reports nothing, gets a no-op.
    /// 4. The first slot above all of these gets the barrier, also a no-op; behind it this leader's own proposals begin.
    ///
    /// Slots that other voters decide about are looked at anew, by their reports. And while a change of voters waits to take
    /// effect, no-ops fill the slots up to the first that the new ones decide about.
    pub(super) fn propose_what_is_left(&mut self, effects: &mut Effects<Message>) {
        loop {
            let (commit, quorums) = (self.commit, self.quorums);
            let State::Proposing(leading) = &mut self.state else { return };
            let chosen =
                if mutated("paxos/next-slot-by-votes-alone") { commit } else { leading.recovery.chosen };
            let slot = leading.next.max(commit.next()).max(chosen.next());
            leading.next = slot;
            if !self.is_in_window(slot) {
                return;
            }
            let Self { state: State::Proposing(leading), configurations, scratch, window, .. } = self else {
                return;
            };
            let recovery = &mut leading.recovery;
            if slot <= leading.free_upto {
                if configurations.takes_effect_at().is_none_or(|first| first < slot) {
                    return self.propose_queued(effects);
                }
                self.propose(Entry::noop(Generation::ZERO, slot), effects);
                continue;
            }
            let reported = |voter| recovery.covered(voter);
            let covered = quorums.reached(Phase::One, configurations.at(slot), scratch, reported).map(Index);
            let Some(covered) = covered.filter(|covered| *covered >= slot) else { return };
            let unseen = mutated("paxos/window-frees-slots") && slot > Index(*window);
            let left = recovery.take(slot).filter(|_| !unseen && !mutated("paxos/nothing-adopted"));
            let entry = match left {
                Some(entry) => entry,
                None if slot <= recovery.last && mutated("paxos/holes-left-open") => {
                    leading.next = slot.next();
                    continue;
                }
                None if slot <= recovery.last && !unseen => Entry::noop(Generation::ZERO, slot),
                None if covered < Index(u64::MAX) && !unseen => return,
                None if leading.frees(slot, configurations.last_alike(slot)) => {
                    Entry::noop(Generation::ZERO, slot)
                }
                None => continue,
            };
            self.propose(entry, effects);
            self.end_succession(effects);
        }
    }
}
