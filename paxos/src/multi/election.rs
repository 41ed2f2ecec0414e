//! Elections: who may ask for promises, and when. A ballot is only begun once a quorum agrees that it would miss no
//! leader; how new a log is does not matter, for phase 1 brings what the candidate lacks.

use consensus_api::mutation::mutated;
use consensus_api::{After, Effects, Generation, Index, Membership, NodeId, Outcome};

use super::following::Following;
use super::proposer::Leadership;
use super::{Body, Message, MultiPaxos, State};
use crate::quorum::Phase;

/// A member that asks whether it would be elected.
#[derive(Clone, Hash, Debug)]
pub(super) struct Asking {
    /// Names the question, so that late answers to earlier ones do not count. Never promised to anyone.
    pub(super) ballot: Generation,
    /// Who agrees; the one asking included.
    pub(super) agreed: Vec<NodeId>,
}

impl MultiPaxos {
    /// No leader was heard for an election timeout.
    pub(super) fn on_election_due(&mut self, effects: &mut Effects<Message>) {
        self.timers.draw_election();
        self.forget_who_was_asked();
        if !self.configurations.is_voter(self.node) {
            return self.ask_around(effects);
        }
        // With a disk that hangs no promise could become durable, and no value after it.
        if self.is_disk_hung() {
            return;
        }
        let Some(ballot) = self.next_ballot() else {
            effects.fatal = Some("ballots are exhausted; the promise on disk is damaged".to_owned());
            return;
        };
        self.state = State::Asking(Asking { ballot, agreed: vec![self.node] });
        let body = Body::PreElect { commit: self.commit };
        for voter in self.other_voters() {
            effects.send(voter, After::Now, Message { ballot, body });
        }
        self.count_agreement(effects);
    }

    /// A member without a vote, whose leader is silent, tells the others how far it has come, and hears how far they have.
    /// It may have a vote by now without knowing: if no other voter is left, nobody else could begin.
    fn ask_around(&mut self, effects: &mut Effects<Message>) {
        let Some(ballot) = self.next_ballot() else { return };
        if let State::Following(following) = &mut self.state {
            following.heard = false; // what it had on its way is not waited for any longer
        }
        let body = Body::PreElect { commit: self.commit };
        for member in self.configurations.members().into_iter().filter(|member| *member != self.node) {
            effects.send(member, After::Now, Message { ballot, body });
        }
    }

    /// Whether there is anybody to ask.
    pub(super) fn knows_others(&self) -> bool {
        self.configurations.in_use().flat_map(Membership::members).any(|member| member != self.node)
    }

    /// Someone asks whether it would be elected. Nobody's promise changes by it (omnipaxos #1: ballots that spread by
    /// gossip depose healthy leaders).
    pub(super) fn on_pre_elect(
        &mut self,
        from: NodeId,
        ballot: Generation,
        commit: Index,
        effects: &mut Effects<Message>,
    ) {
        let agreed = !self.would_miss_its_leader() && !self.is_lease_granted();
        let body = Body::PreElectAck { agreed, commit: self.commit, promised: self.acceptor.promised() };
        effects.send(from, After::Now, Message { ballot, body });
        self.hear_commit(from, commit, effects);
    }

    /// Whether a proposer was heard within the shortest election timeout; on the proposer itself, whether a quorum was.
    fn would_miss_its_leader(&mut self) -> bool {
        match &self.state {
            State::Following(following) => following.heard && !self.timers.is_long_ago(self.timers.contact),
            State::Proposing(_) => self.has_quorum_contact(),
            State::Asking(_) => false,
        }
    }

    pub(super) fn on_pre_elect_ack(
        &mut self,
        from: NodeId,
        ballot: Generation,
        agreed: bool,
        promised: Generation,
        effects: &mut Effects<Message>,
    ) {
        self.round_seen = self.round_seen.max(promised.round);
        if let State::Asking(asking) = &mut self.state
            && asking.ballot == ballot
            && agreed
            && !asking.agreed.contains(&from)
        {
            asking.agreed.push(from);
            self.count_agreement(effects);
        }
    }

    /// Both quorums must be within reach: of promises to begin with, and of answers to stay.
    fn count_agreement(&mut self, effects: &mut Effects<Message>) {
        let State::Asking(asking) = &self.state else { return };
        let agrees = |voter| asking.agreed.contains(&voter);
        let both = |membership: &Membership| {
            self.quorums.holds(Phase::One, membership, agrees)
                && self.quorums.holds(Phase::Two, membership, agrees)
        };
        if self.configurations.in_use().all(both) {
            self.begin_ballot(Generation::ZERO, effects);
        }
    }

    /// Begins a ballot of its own. Its first promise is this member's own, and nothing leaves before that is durable: so
    /// no ballot is ever begun twice, whatever a crash takes (phxpaxos #145). `after` is the ballot whose proposer hands
    /// over; zero if none does.
    pub(super) fn begin_ballot(&mut self, after: Generation, effects: &mut Effects<Message>) {
        let Some(ballot) = self.next_ballot().filter(|_| self.may_promise(self.node, after)) else { return };
        self.promise(ballot, effects);
        self.timers.draw_election();
        let (now, commit) = (self.timers.now, self.commit);
        let leading =
            Leadership::new(self.node, (ballot, after), &self.configurations, (commit, self.log.last()), now);
        self.state = State::Proposing(Box::new(leading));
        for member in self.configurations.members() {
            self.supply(member);
        }
        let unsynced = self.acceptor.unsynced().filter(|_| !mutated("paxos/ballot-before-sync"));
        let durable = unsynced.map_or(After::Now, After::Durable);
        let body = Body::Prepare { from: commit.next(), after, window: self.window };
        for voter in self.other_voters() {
            effects.send(voter, durable, Message { ballot, body });
        }
    }

    /// A ballot of this member's own, above all it has heard of. `None` once numbers run out, which only damage can bring
    /// about.
    fn next_ballot(&self) -> Option<Generation> {
        let round = self.round_seen.max(self.acceptor.promised().round).checked_add(1)?;
        Some(Generation::new(round, self.node))
    }

    fn other_voters(&self) -> Vec<NodeId> {
        let mut voters = self.configurations.voters();
        voters.retain(|voter| *voter != self.node);
        voters
    }

    /// A higher ballot than ours has been promised somewhere. To go on one has to begin anew, after a random wait, and
    /// with phase 1 (a ballot raised while leading would propose what it never asked about).
    pub(super) fn on_nack(
        &mut self,
        ballot: Generation,
        promised: Generation,
        effects: &mut Effects<Message>,
    ) {
        if promised.node == self.node
            && promised > self.acceptor.promised()
            && promised.round > self.round_seen
        {
            effects.fatal = Some(format!(
                "ballot {promised} bears this node's number, but this node does not remember it: its disk went back \
                 in time, or two nodes share an id"
            ));
            return;
        }
        self.round_seen = self.round_seen.max(promised.round);
        if self.leads(ballot) && promised > ballot {
            if mutated("paxos/ballot-raised-while-leading")
                && let Some(higher) = self.next_ballot()
            {
                self.promise(higher, effects);
                if let State::Proposing(leading) = &mut self.state {
                    leading.ballot = higher;
                }
                return;
            }
            self.step_down(effects);
        }
    }

    /// Gives up proposing. The promise stands, and with it all that was accepted.
    pub(super) fn step_down(&mut self, effects: &mut Effects<Message>) {
        self.stop_proposing(effects);
        self.state = State::Following(Following::default());
    }

    /// What is due when proposing ends, if this member proposes.
    pub(super) fn stop_proposing(&mut self, effects: &mut Effects<Message>) {
        if let State::Proposing(leading) = &mut self.state {
            leading.reads.refuse_all(effects);
            if let Some(change) = leading.change.take() {
                effects.proposals.push((change.proposal, Outcome::Unknown)); // a later leader may end it
            }
            self.succession = leading.transfer.take().and_then(|transfer| transfer.wish());
            self.timers.draw_election();
        }
    }

    /// Whether a write of this member has not become durable for an election timeout.
    pub(super) fn is_disk_hung(&self) -> bool {
        self.log.writing_since().is_some_and(|since| self.timers.is_long_ago(since))
    }
}
