//! Elections: timeouts, pre-votes, votes, and the first steps of a leader (thesis, sections 3.4, 3.6.1, 4.2.3, 9.6).

use consensus_api::mutation::mutated;
use consensus_api::{
    After, Effects, Entry, Generation, Index, Moment, NodeId, Outcome, ReadQueue, ReadRound, WriteSeq,
};

use crate::hard_state::HardState;
use crate::progress::Peer;
use crate::raft::{Leadership, Raft, State};
use crate::{Body, Message, Term};

/// The votes of one candidacy.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Tally {
    pub(crate) granted: Vec<NodeId>,
    /// The write that makes the own vote durable; it is not counted before.
    pub(crate) own_vote: Option<WriteSeq>,
}

/// How a candidate comes to stand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Candidacy {
    /// It only asks whether it *would* be elected; nobody's term or vote changes.
    Pre = 1,
    /// It stands, because no leader was heard.
    Open = 2,
    /// It stands because the leader told it to: nobody refuses it for the sake of that leader.
    Handed = 3,
}

impl Raft {
    /// No leader was heard for an election timeout.
    pub(crate) fn on_election_due(&mut self, effects: &mut Effects<Message>) {
        self.timers.draw_election();
        // With a disk that hangs no vote could become durable, and no entry after it.
        if self.may_stand() && !self.has_unapplied_membership() && !self.is_disk_hung() {
            self.pre_campaign(effects);
        }
    }

    /// Whether a write of this member has not become durable for an election timeout.
    pub(crate) fn is_disk_hung(&self) -> bool {
        self.log.writing_since().is_some_and(|since| self.timers.is_long_ago(since))
    }

    /// Asks whether an election could be won, before disturbing anyone with a new term (thesis, section 9.6). The old
    /// leader is forgotten first: two members that ask at the same time must not refuse each other for its sake
    /// (etcd#8334).
    fn pre_campaign(&mut self, effects: &mut Effects<Message>) {
        let Some(term) = self.term.next() else {
            effects.fatal = Some("terms are exhausted; the log's term is damaged".to_owned());
            return;
        };
        self.state = State::PreCandidate(Tally { granted: vec![self.node], own_vote: None });
        if self.is_alone() || mutated("raft/elected-by-the-first-vote") {
            self.campaign(term, Candidacy::Open, effects);
        } else {
            self.request_votes(term, Candidacy::Pre, After::Now, effects);
        }
    }

    /// Stands for election. Term and vote go to disk in one piece, and the requests leave after them (jraft#1245).
    pub(crate) fn campaign(&mut self, term: Term, candidacy: Candidacy, effects: &mut Effects<Message>) {
        self.enter_term(term, Some(self.node), effects);
        self.timers.draw_election();
        let written = effects.newest_write();
        self.state = State::Candidate(Tally { granted: Vec::new(), own_vote: Some(written) });
        if mutated("raft/candidacy-before-sync") {
            self.state = State::Candidate(Tally { granted: vec![self.node], own_vote: None });
            return self.request_votes(term, candidacy, After::Now, effects);
        }
        self.request_votes(term, candidacy, After::Durable(written), effects);
    }

    fn request_votes(&self, term: Term, candidacy: Candidacy, after: After, effects: &mut Effects<Message>) {
        let body = Body::RequestVote { candidacy, last: self.log.last(), last_term: self.log.last_term() };
        for voter in self.membership.members().filter(|member| self.membership.is_voter(*member)) {
            if voter != self.node {
                effects.send(voter, after, Message { term, body });
            }
        }
    }

    /// A candidate asks for a vote. Whether it is a member, or this one a voter, is not asked: either may know a newer
    /// membership than the other (thesis, section 4.1; etcd#10998).
    pub(crate) fn on_request_vote(
        &mut self,
        from: NodeId,
        term: Term,
        candidacy: Candidacy,
        candidate_last: (Term, Index),
        effects: &mut Effects<Message>,
    ) {
        // While there is a leader nobody needs another; not even the later term is taken up (thesis, section 4.2.3).
        // Unless it is that leader's own wish.
        let disturbs = candidacy != Candidacy::Handed && !mutated("raft/vote-under-a-live-leader");
        if term > self.term && disturbs && self.has_live_leader() {
            return;
        }
        if self.timers.now < self.timers.votes_from {
            return;
        }
        let pre = candidacy == Candidacy::Pre;
        let up_to_date = candidate_last >= (self.log.last_term(), self.log.last())
            || mutated("raft/vote-for-a-shorter-log");
        if pre {
            // A grant bears the term asked about, a refusal this member's own, so that the one asking can catch up
            // (etcd#8243, etcd#8501). Neither changes anything here, not even a timer (hashicorp/raft#609).
            let granted = term > self.term && up_to_date;
            let term = if granted { term } else { self.term };
            let body = Body::Vote { pre, granted };
            effects.send(from, After::Now, Message { term, body });
            return;
        }
        if term > self.term {
            self.enter_term(term, None, effects);
        }
        let free = self.vote == Some(from)
            || (self.vote.is_none() && self.leader.is_none())
            || mutated("raft/two-votes-in-a-term");
        let granted = term == self.term && free && up_to_date;
        if granted && self.vote.is_none() {
            self.vote = Some(from);
            self.state = State::Follower { following: false };
            self.timers.draw_election();
            let hard_state = HardState { term, vote: self.vote };
            if !mutated("raft/vote-not-written") {
                self.log.write_hard_state(self.timers.now, hard_state, effects);
            }
        }
        let rests_on_disk = granted && !mutated("raft/vote-before-sync");
        let after = if rests_on_disk { After::Durable(effects.newest_write()) } else { After::Now };
        effects.send(from, after, Message { term: self.term, body: Body::Vote { pre, granted } });
    }

    /// Whether there is a leader that would be missed: heard of within the shortest election timeout or, on the leader
    /// itself, answered by a quorum within it.
    fn has_live_leader(&mut self) -> bool {
        match self.state {
            State::Follower { following } => following && !self.timers.is_long_ago(self.timers.contact),
            State::Leader(_) => self.has_quorum_contact(),
            State::PreCandidate(_) | State::Candidate(_) => false,
        }
    }

    /// A voter answers.
    pub(crate) fn on_vote(
        &mut self,
        from: NodeId,
        term: Term,
        pre: bool,
        granted: bool,
        effects: &mut Effects<Message>,
    ) {
        if !self.membership.contains(from) {
            return;
        }
        if !granted && term > self.term {
            self.enter_term(term, None, effects);
            return;
        }
        let asked = if pre { self.term.next() } else { Some(self.term) };
        if !granted || Some(term) != asked {
            return;
        }
        match &mut self.state {
            State::PreCandidate(tally) if pre => tally.grant(from),
            State::Candidate(tally) if !pre => tally.grant(from),
            _ => return,
        }
        self.count_votes(effects);
    }

    /// A candidate's own vote counts once it is durable.
    pub(crate) fn on_own_vote_durable(&mut self, durable: WriteSeq, effects: &mut Effects<Message>) {
        if let State::Candidate(tally) = &mut self.state
            && tally.own_vote.is_some_and(|written| written <= durable)
        {
            tally.own_vote = None;
            tally.grant(self.node);
            self.count_votes(effects);
        }
    }

    fn count_votes(&mut self, effects: &mut Effects<Message>) {
        match &self.state {
            State::PreCandidate(tally) if self.membership.quorum_holds(|voter| tally.has(voter)) => {
                if let Some(term) = self.term.next() {
                    self.campaign(term, Candidacy::Open, effects);
                }
            }
            State::Candidate(tally)
                if self.membership.quorum_holds(|voter| tally.has(voter))
                    || mutated("raft/elected-by-the-first-vote") =>
            {
                self.lead(effects);
            }
            _ => {}
        }
    }

    /// Begins to lead: with an entry of its own term, since nothing older may be committed by counting, nor a read be
    /// answered before (thesis, sections 3.6.2 and 6.4).
    fn lead(&mut self, effects: &mut Effects<Message>) {
        let (now, start) = (self.timers.now, self.log.last().next());
        self.leader = Some(self.node);
        self.state = State::Leader(Leadership {
            peers: Vec::new(),
            start,
            reads: ReadQueue::default(),
            heartbeat: Moment(now),
            change: None,
            transfer: None,
            handed_over: None,
        });
        self.end_succession(self.node, effects);
        self.log.append(now, Entry::noop(self.generation(), start), effects);
        if let State::Leader(leading) = &mut self.state {
            let others = self.membership.members().filter(|member| *member != self.node);
            leading.peers.extend(others.map(|id| Peer::new(id, start, now)));
            leading.peers.sort_unstable_by_key(|peer| peer.id);
        }
        self.on_heartbeat_due(effects);
    }

    /// This member's own generation, as the leader of its term.
    pub(crate) fn generation(&self) -> Generation {
        Generation::new(self.term.0, self.node)
    }

    /// Gives up leading, within the same term: the vote stays cast (thesis, section 6.2).
    pub(crate) fn step_down(&mut self, effects: &mut Effects<Message>) {
        self.stop_leading(effects);
        self.state = State::Follower { following: false };
    }

    /// What is due when leading ends, if this member leads.
    pub(crate) fn stop_leading(&mut self, effects: &mut Effects<Message>) {
        if let State::Leader(leading) = &mut self.state {
            leading.reads.refuse_all(effects);
            if let Some(proposal) = leading.change.take().and_then(|change| change.forgotten()) {
                effects.proposals.push((proposal, Outcome::Unknown));
            }
            self.succession = leading.transfer.take().and_then(|transfer| transfer.wish());
            self.timers.draw_election();
        }
    }

    /// Takes note of a message from the leader of `term`. `false` when there is nothing more to do with it.
    pub(crate) fn hear_leader(&mut self, from: NodeId, term: Term, effects: &mut Effects<Message>) -> bool {
        if term < self.term {
            // It learns that its time is over; and a member that is ahead in terms only, that it must catch up.
            let priority = self.options.priority;
            self.send(from, Body::Heard { round: ReadRound::default(), priority }, effects);
            return false;
        }
        if term > self.term {
            self.enter_term(term, None, effects);
        }
        if let Some(leader) = self.leader
            && leader != from
        {
            effects.fatal = Some(format!(
                "nodes {leader} and {from} both claim to lead in term {}: a member voted twice, or two nodes share an id",
                term.0
            ));
            return false;
        }
        self.leader = Some(from);
        self.end_succession(from, effects);
        self.state = State::Follower { following: true };
        self.timers.contact = self.timers.now;
        self.timers.draw_election();
        true
    }
}

impl Tally {
    fn grant(&mut self, voter: NodeId) {
        if !self.has(voter) {
            self.granted.push(voter);
        }
    }

    fn has(&self, voter: NodeId) -> bool {
        self.granted.contains(&voter)
    }
}
