//! The proposer's part: to get a value chosen in the first open slot (Lamport 2001, section 2.2, P2c; section 2.4).
//!
//! A member proposes in a slot only once it knows that all below are chosen. So no slot is touched above one that is not
//! chosen, one attempt is under way per member, and the values of a member are chosen in the order it was given them.

use consensus_api::{
    After, Effects, Engine, Entry, EntryKind, Generation, Index, NodeId, Outcome, ProposalId, Refusal, Time,
    WriteSeq,
};

use super::acceptor::is_placed;
use super::{Body, Message, Paxos, Won};
use crate::quorum::Phase;

/// An attempt to have something chosen in a slot, at a ballot.
#[derive(Clone, Hash, Debug)]
pub(super) struct Attempt {
    pub(super) ballot: Generation,
    pub(super) slot: Index,
    pub(super) stage: Stage,
}

/// How far an attempt has come.
#[derive(Clone, Hash, Debug)]
pub(super) enum Stage {
    /// Phase 1: promises of others are counted. The own one counts once it is durable.
    Preparing(Vec<Promised>),
    /// A quorum has promised, and somebody has accepted a value before: that is fetched.
    Fetching(Fetching),
    /// Phase 2.
    Accepting(Accepting),
}

/// A promise, and what came with it.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) struct Promised {
    pub(super) voter: NodeId,
    /// The ballot at which it has accepted a value in the slot; zero for none.
    pub(super) accepted: Generation,
    /// The highest slot in which it has accepted anything.
    pub(super) last: Index,
}

/// The value to fetch.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) struct Fetching {
    pub(super) from: NodeId,
    pub(super) accepted: Generation,
    tries: u32,
}

/// What is proposed, and who has accepted it.
#[derive(Clone, Hash, Debug)]
pub(super) struct Accepting {
    pub(super) proposal: ProposalId,
    pub(super) acks: Vec<NodeId>,
    /// The own acceptance, until it is durable.
    pub(super) writing: Option<WriteSeq>,
}

/// A ballot that a quorum has promised for all slots. As long as nobody asks for a higher one, it needs no phase 1 in slots
/// where that quorum had accepted nothing.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) struct Held {
    pub(super) ballot: Generation,
    /// From here on nobody of that quorum had accepted anything.
    pub(super) free_from: Index,
}

/// A value that was not handed over after so many questions is not waited for.
const FETCHES_MAX: u32 = 2;

impl Paxos {
    /// Takes a value to have it chosen, wherever. What comes meanwhile gathers in the node.
    pub(super) fn on_propose(&mut self, entry: Entry, effects: &mut Effects<Message>) {
        let proposal = entry.proposal;
        let outcome = if entry.kind == EntryKind::Membership {
            Outcome::Refused(Refusal::Invalid("a membership is changed by asking for the change"))
        } else if !self.takes_proposals() {
            Outcome::Refused(Refusal::NotLeader)
        } else {
            self.wanted = Some(entry);
            Outcome::Accepted(super::NO_BALLOT)
        };
        effects.proposals.push((proposal, outcome));
    }

    /// When an attempt is to begin; `None` while one is under way, or nothing is to be done.
    pub(super) fn attempt_due(&self) -> Option<Time> {
        if self.attempt.is_some() {
            None
        } else if self.wanted.is_some() {
            Some(self.timers.not_before)
        } else if self.is_left_open() {
            Some(self.timers.not_before.max(self.timers.finish))
        } else {
            None
        }
    }

    /// Whether something was begun above the chosen prefix, by whomever.
    fn is_left_open(&self) -> bool {
        self.log.last().max(self.reads.target()) > self.commit
    }

    /// Begins an attempt in the first open slot, if one is due: with phase 1, unless its promises are there already.
    pub(super) fn propose_if_due(&mut self, effects: &mut Effects<Message>) {
        if !self.is_left_open() {
            self.timers.finish = Time::MAX;
        } else if self.timers.finish == Time::MAX {
            self.timers.draw_finish(!self.reads.is_empty());
        }
        if self.attempt_due().is_none_or(|due| due > self.timers.now) {
            return;
        }
        let slot = self.commit.next();
        self.timers.retry = self.timers.now + self.timers.timing.heartbeat;
        match self.held {
            Some(Held { ballot, free_from }) if slot >= free_from => {
                let value = self.own_value();
                self.begin(ballot, slot);
                self.propose(value, effects);
            }
            Some(Held { ballot, .. }) => {
                self.begin(ballot, slot);
                self.ask_for_promises(effects);
            }
            None => {
                let Some(ballot) = self.next_ballot() else {
                    effects.fatal = Some("ballots are exhausted; the promise on disk is damaged".to_owned());
                    return;
                };
                self.promise(ballot, effects);
                self.begin(ballot, slot);
                self.ask_for_promises(effects);
            }
        }
    }

    fn begin(&mut self, ballot: Generation, slot: Index) {
        self.attempt = Some(Attempt { ballot, slot, stage: Stage::Preparing(Vec::new()) });
    }

    /// A ballot of this member's own, above all it has heard of. `None` once numbers run out, which only damage can bring
    /// about.
    fn next_ballot(&self) -> Option<Generation> {
        let round = self.round_seen.max(self.acceptor.promised().round).checked_add(1)?;
        Some(Generation::new(round, self.node))
    }

    /// What goes into a slot that nobody has touched: what this member wants chosen, or nothing.
    fn own_value(&self) -> Entry {
        self.wanted.clone().unwrap_or_else(|| Entry::noop(super::NO_BALLOT, Index::ZERO))
    }

    /// Asks those who have not promised. Nobody hears of a ballot before its owner's promise is durable: so none is begun
    /// twice, whatever a crash takes (phxpaxos #145).
    fn ask_for_promises(&mut self, effects: &mut Effects<Message>) {
        let Some(Attempt { ballot, slot, stage: Stage::Preparing(promises) }) = &self.attempt else { return };
        let message = Message { ballot: *ballot, body: Body::Prepare { slot: *slot } };
        let after = self.acceptor.unsynced().map_or(After::Now, After::Durable);
        for voter in self.voters().filter(|voter| !promises.iter().any(|promise| promise.voter == *voter)) {
            effects.send(voter, after, message);
        }
        self.count_promises(effects);
    }

    /// A voter has promised this ballot.
    pub(super) fn on_promise(
        &mut self,
        ballot: Generation,
        slot: Index,
        promise: Promised,
        effects: &mut Effects<Message>,
    ) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.ballot != ballot || attempt.slot != slot || promise.accepted >= ballot {
            return; // of an earlier attempt
        }
        let Stage::Preparing(promises) = &mut attempt.stage else { return };
        if !promises.iter().any(|known| known.voter == promise.voter) {
            promises.push(promise);
        }
        self.count_promises(effects);
    }

    /// Once a quorum has promised: of the values it has accepted in this slot, the one of the highest ballot is proposed;
    /// if there is none, one's own. The highest *accepted* ballot counts (frankenpaxos' CASPaxos took the lowest).
    pub(super) fn count_promises(&mut self, effects: &mut Effects<Message>) {
        let Some(Attempt { ballot, slot, stage: Stage::Preparing(promises) }) = &self.attempt else { return };
        let (ballot, slot) = (*ballot, *slot);
        let own_is_durable = self.acceptor.unsynced().is_none();
        let promised = |voter| {
            let theirs = promises.iter().any(|promise| promise.voter == voter);
            if voter == self.node { own_is_durable } else { theirs }
        };
        if !self.quorums.holds(Phase::One, &self.membership, promised) {
            return;
        }
        let accepted = self.log.ballot_at(slot).unwrap_or_default();
        let own = Promised { voter: self.node, accepted, last: self.log.last() };
        let all = || promises.iter().copied().chain([own]);
        let last = all().map(|promise| promise.last).fold(slot, Index::max);
        let highest =
            all().max_by_key(|promise| (promise.accepted, promise.voter == self.node)).unwrap_or(own);
        self.held = Some(Held { ballot, free_from: last.next() });
        if highest.accepted == super::NO_BALLOT {
            let value = self.own_value();
            return self.propose(value, effects);
        }
        let fetching = Fetching { from: highest.voter, accepted: highest.accepted, tries: 0 };
        self.begin(ballot, slot);
        if let Some(attempt) = &mut self.attempt {
            attempt.stage = Stage::Fetching(fetching);
        }
        self.fetch(effects);
    }

    /// Asks for the value to propose; of itself, through its own log.
    fn fetch(&mut self, effects: &mut Effects<Message>) {
        let Some(Attempt { ballot, slot, stage: Stage::Fetching(fetching) }) = &mut self.attempt else {
            return;
        };
        fetching.tries += 1;
        let (ballot, slot, Fetching { from, accepted, tries }) = (*ballot, *slot, *fetching);
        if tries > FETCHES_MAX {
            // Whoever had it is gone. Others may do without it: that takes another phase 1, at a ballot of its own.
            self.attempt = None;
            self.held = None;
            self.timers.back_off();
        } else if from == self.node {
            self.supply(from).value(ballot, slot, accepted);
        } else {
            effects.send(from, After::Now, Message { ballot, body: Body::Fetch { slot, accepted } });
        }
    }

    /// Here is the value that was asked for.
    pub(super) fn on_value(&mut self, ballot: Generation, entries: &[Entry], effects: &mut Effects<Message>) {
        let Some(Attempt { slot, stage: Stage::Fetching(fetching), .. }) =
            self.attempt.as_ref().filter(|attempt| attempt.ballot == ballot)
        else {
            return;
        };
        let [entry] = entries else { return };
        if entry.index == *slot && entry.generation == fetching.accepted && is_placed(entry) {
            self.propose(entry.clone(), effects);
        }
    }

    /// Phase 2: proposes a value in the attempt's slot. This member is the first to accept it; its way to the own disk and
    /// to the others are taken at the same time.
    fn propose(&mut self, mut entry: Entry, effects: &mut Effects<Message>) {
        let Some(attempt) = &mut self.attempt else { return };
        (entry.generation, entry.index) = (attempt.ballot, attempt.slot);
        let proposal = entry.proposal;
        self.accept(entry, effects);
        let writing = Some(effects.newest_write());
        if let Some(attempt) = &mut self.attempt {
            attempt.stage = Stage::Accepting(Accepting { proposal, acks: Vec::new(), writing });
        }
        self.offer();
    }

    /// Everyone is to be sent what is proposed, learners too.
    fn offer(&mut self) {
        let others: Vec<NodeId> = self.others().collect();
        others.into_iter().for_each(|member| self.supply(member).accept());
    }

    /// A voter has accepted what this ballot proposes in the slot, durably.
    pub(super) fn on_accepted(
        &mut self,
        from: NodeId,
        ballot: Generation,
        slot: Index,
        effects: &mut Effects<Message>,
    ) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.ballot != ballot || attempt.slot != slot {
            return;
        }
        let Stage::Accepting(accepting) = &mut attempt.stage else { return };
        if !accepting.acks.contains(&from) {
            accepting.acks.push(from);
        }
        self.count_acceptances(effects);
    }

    /// What this member has written is durable: its own promise and acceptance count.
    pub(super) fn on_own_durable(&mut self, seq: WriteSeq, effects: &mut Effects<Message>) {
        self.count_promises(effects);
        let node = self.node;
        let Some(Attempt { stage: Stage::Accepting(accepting), .. }) = &mut self.attempt else { return };
        if accepting.writing.is_some_and(|writing| writing <= seq) {
            accepting.writing = None;
            accepting.acks.push(node);
            self.count_acceptances(effects);
        }
    }

    /// A value is chosen once a quorum has accepted it, all at this ballot. Everyone is told.
    fn count_acceptances(&mut self, effects: &mut Effects<Message>) {
        let Some(Attempt { ballot, slot, stage: Stage::Accepting(accepting) }) = &self.attempt else {
            return;
        };
        if !self.quorums.holds(Phase::Two, &self.membership, |voter| accepting.acks.contains(&voter)) {
            return;
        }
        let (ballot, slot) = (*ballot, *slot);
        let before = self.won_at(ballot);
        let first = if before.last.next() == slot { before.first.max(Index(1)) } else { slot };
        self.won = (ballot, Won { first, last: slot });
        self.timers.succeeded();
        self.commit_upto(slot, effects);
        // What an earlier life or another member has left above is taken up in one go, not one slot a timeout.
        self.timers.finish = self.timers.now;
        let message = Message { ballot, body: Body::Chosen { won: self.won.1 } };
        for member in self.others() {
            effects.send(member, After::Now, message);
        }
    }

    /// What this ballot has won so far.
    pub(super) fn won_at(&self, ballot: Generation) -> Won {
        if self.won.0 == ballot { self.won.1 } else { Won::default() }
    }

    /// A higher ballot than ours has been promised somewhere: this attempt is over. The next one begins after a random
    /// wait, with a ballot above that one, and with phase 1.
    pub(super) fn on_nack(
        &mut self,
        ballot: Generation,
        promised: Generation,
        effects: &mut Effects<Message>,
    ) {
        if promised.node == self.node && promised.round > self.round_seen {
            effects.fatal = Some(format!(
                "ballot {promised} bears this node's number, but this node does not remember it: its disk went back \
                 in time, or two nodes share an id"
            ));
            return;
        }
        self.round_seen = self.round_seen.max(promised.round);
        if promised > ballot && self.held.is_some_and(|held| held.ballot == ballot) {
            self.held = None;
        }
        if promised > ballot && self.attempt.as_ref().is_some_and(|attempt| attempt.ballot == ballot) {
            self.attempt = None;
            self.timers.back_off();
        }
    }

    /// What the attempt said may have been lost.
    pub(super) fn say_again(&mut self, effects: &mut Effects<Message>) {
        self.timers.retry = self.timers.now + self.timers.timing.heartbeat;
        match self.attempt.as_ref().map(|attempt| &attempt.stage) {
            Some(Stage::Preparing(_)) => self.ask_for_promises(effects),
            Some(Stage::Fetching(_)) => self.fetch(effects),
            Some(Stage::Accepting(_)) => self.offer(),
            None => {}
        }
    }
}
