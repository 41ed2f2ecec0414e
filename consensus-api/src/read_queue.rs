//! [`ReadQueue`]: the reads a leader has yet to answer, and what proves that it led when they began (Ongaro's thesis,
//! section 6.4).
//!
//! Which quorum has to answer is each engine's own. How answers are told apart, and which of them confirm which reads, is the
//! same with all of them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mutation::mutated;
use crate::{Effects, Index, Moment, ReadId, Refusal, Time};

/// Numbers the reads of one leadership. A message carries the newest number given out so far, and its answer echoes it:
/// so an answer confirms exactly the reads that began before the message left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ReadRound(pub u64);

/// The reads a leader has yet to answer.
///
/// Each read gets a number, and every message to a peer carries the newest one. An echo of that number, or a later one,
/// was sent in answer to a message that left after the read began: its sender still followed this leader then. One
/// round of echoes from a quorum confirms all reads that had gathered by the time it began; the next round starts when
/// it is complete. Numbers are never used twice within a leadership, and echoes of other ones are not to be counted, so a
/// late or repeated echo confirms nothing that it should not (etcd-io/raft#397).
#[derive(Clone, Hash, Default, Debug)]
pub struct ReadQueue {
    newest: ReadRound,
    /// The number last sent to a quorum.
    asked: ReadRound,
    /// The highest number that a quorum has echoed.
    confirmed: ReadRound,
    waiting: VecDeque<Waiting>,
    /// When the rounds of heartbeats that may prove a lease began, oldest first.
    begun: VecDeque<(ReadRound, Moment)>,
}

/// A read that waits.
#[derive(Clone, Copy, Hash, Debug)]
struct Waiting {
    id: ReadId,
    round: ReadRound,
    /// To be applied before reading.
    index: Index,
}

impl ReadQueue {
    /// The newest number given out: the one for messages that leave now.
    pub const fn newest(&self) -> ReadRound {
        self.newest
    }

    /// Whether no read waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A read begins, and is to see everything up to `index`: what was committed by now, and what the leader found when it
    /// came to lead.
    pub fn push(&mut self, id: ReadId, index: Index) {
        self.newest.0 += u64::from(self.newest.0 == 0 || !mutated("reads/number-used-twice"));
        self.waiting.push_back(Waiting { id, round: self.newest, index });
    }

    /// Begins a round at this time, of which an echo proves that its sender had followed nobody else by then. Rounds older
    /// than `memory` prove no lease any more.
    pub fn begin_round(&mut self, now: Time, memory: Duration) {
        self.newest.0 += 1;
        self.begun.push_back((self.newest, Moment(now)));
        while self.begun.front().is_some_and(|(_, at)| now.since(at.0) >= memory) {
            self.begun.pop_front();
        }
    }

    /// When the newest round began that is not above what a quorum has echoed.
    pub fn round_began(&self, echoed: ReadRound) -> Option<Time> {
        self.begun.iter().rev().find(|(round, _)| *round <= echoed).map(|(_, at)| at.0)
    }

    /// Whether a round of messages has to be sent for the sake of reads.
    pub fn is_round_due(&self) -> bool {
        let unconfirmed = self.waiting.back().is_some_and(|read| read.round > self.confirmed);
        unconfirmed && self.confirmed >= self.asked
    }

    /// A quorum was sent this number, or a later one.
    pub fn was_asked(&mut self, round: ReadRound) {
        self.asked = self.asked.max(round);
    }

    /// Others decide from now on, and the answers of those who did prove nothing about them: the reads begin anew.
    pub fn begin_anew(&mut self, commit: Index) {
        for read in &mut self.waiting {
            self.newest.0 += 1;
            (read.round, read.index) = (self.newest, read.index.max(commit));
        }
    }

    /// A quorum has echoed this number: answers the reads that it confirms, in their order, as far as what they are to see is
    /// committed.
    pub fn answer<M>(&mut self, echoed: ReadRound, commit: Index, effects: &mut Effects<M>) {
        self.confirmed = self.confirmed.max(echoed);
        while let Some(read) = self.waiting.front()
            && read.round <= self.confirmed
            && read.index <= commit
        {
            effects.reads.push((read.id, Ok(read.index)));
            self.waiting.pop_front();
        }
    }

    /// This member does not lead any more.
    pub fn refuse_all<M>(&mut self, effects: &mut Effects<M>) {
        effects.reads.extend(self.waiting.drain(..).map(|read| (read.id, Err(Refusal::NotLeader))));
    }

    /// Panics unless these reads, of a leader that answers none with less than `least`, are sound. How many laws were looked at.
    pub fn check(&self, least: Index) -> u64 {
        assert!(self.asked <= self.newest, "only reads that have begun are asked about");
        assert!(self.confirmed <= self.newest, "only reads that have begun are confirmed");
        let mut laws = 2;
        let mut earlier = None;
        for read in &self.waiting {
            assert!(earlier < Some((read.round, read.index)), "reads wait in order");
            assert!(read.index >= least, "no read waits for less than the leader's first entry");
            earlier = Some((read.round, read.index));
            laws += 2;
        }
        laws
    }

    /// Panics unless `after` may follow `before` within one leadership. How many laws were looked at.
    pub fn check_step(before: &Self, after: &Self) -> u64 {
        assert!(before.newest <= after.newest, "numbers of reads are never used twice");
        assert!(before.confirmed <= after.confirmed, "what is confirmed stays confirmed");
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(reads: &mut ReadQueue, echoed: u64, commit: u64) -> Vec<(u64, u64)> {
        let before = reads.clone();
        let mut effects = Effects::<()>::new();
        reads.answer(ReadRound(echoed), Index(commit), &mut effects);
        assert!(reads.check(Index(1)) >= 2 && ReadQueue::check_step(&before, reads) == 2);
        let answer =
            |(id, answer): (ReadId, Result<Index, Refusal>)| (id.0, answer.map_or(0, |index| index.0));
        effects.reads.into_iter().map(answer).collect()
    }

    #[test]
    fn an_echo_confirms_what_began_before_its_message_left() {
        let mut reads = ReadQueue::default();
        reads.push(ReadId(7), Index(4));
        let left = reads.newest();
        reads.push(ReadId(8), Index(4));
        assert_eq!(answered(&mut reads, 0, 4), []);
        assert_eq!(answered(&mut reads, left.0, 4), [(7, 4)]);
        assert_eq!(answered(&mut reads, left.0, 9), [], "the same echo, again");
        assert_eq!(answered(&mut reads, left.0 + 1, 9), [(8, 4)]);
        assert!(reads.is_empty());
    }

    #[test]
    fn what_is_confirmed_waits_until_what_it_is_to_see_is_committed() {
        let mut reads = ReadQueue::default();
        reads.push(ReadId(1), Index(6));
        assert_eq!(answered(&mut reads, 1, 5), []);
        assert_eq!(answered(&mut reads, 0, 6), [(1, 6)]);
    }

    #[test]
    fn one_round_serves_all_that_gathered_and_the_next_waits_for_it() {
        let mut reads = ReadQueue::default();
        assert!(!reads.is_round_due());
        reads.push(ReadId(1), Index(1));
        assert!(reads.is_round_due());
        reads.was_asked(reads.newest());
        reads.push(ReadId(2), Index(1));
        assert!(!reads.is_round_due(), "one is under way");
        assert_eq!(answered(&mut reads, 1, 1), [(1, 1)]);
        assert!(reads.is_round_due());
        reads.was_asked(ReadRound(0));
        assert!(reads.is_round_due(), "an earlier number asks for nothing");
        reads.was_asked(reads.newest());
        assert_eq!(answered(&mut reads, 2, 1), [(2, 1)]);
        assert!(!reads.is_round_due());
    }

    #[test]
    fn reads_that_begin_anew_keep_their_order_and_need_new_echoes() {
        let mut reads = ReadQueue::default();
        reads.push(ReadId(1), Index(3));
        reads.push(ReadId(2), Index(8));
        let old = reads.newest();
        reads.begin_anew(Index(5));
        assert_eq!(answered(&mut reads, old.0, 9), []);
        let new = reads.newest();
        assert_eq!(answered(&mut reads, new.0, 9), [(1, 5), (2, 8)]);
    }

    #[test]
    fn a_lease_counts_from_the_begin_of_the_newest_round_that_was_echoed() {
        let (mut reads, second) = (ReadQueue::default(), Duration::from_secs(1));
        for at in 1..=3 {
            reads.begin_round(Time::ZERO + second * at, second * 2);
        }
        assert_eq!(reads.round_began(ReadRound(3)), Some(Time::ZERO + second * 3));
        assert_eq!(reads.round_began(ReadRound(2)), Some(Time::ZERO + second * 2));
        assert_eq!(reads.round_began(ReadRound(1)), None, "too old to prove anything");
    }

    #[test]
    fn whoever_leads_no_more_refuses_what_waits() {
        let mut reads = ReadQueue::default();
        reads.push(ReadId(1), Index(1));
        let mut effects = Effects::<()>::new();
        reads.refuse_all(&mut effects);
        assert_eq!(effects.reads, [(ReadId(1), Err(Refusal::NotLeader))]);
        assert!(reads.is_empty());
    }
}
