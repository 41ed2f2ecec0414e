//! What a test asks of a cluster, and what it looks at.

use bytes::Bytes;
use consensus_api::{
    Engine, Entry, EntryKind, Event, Incarnation, Index, LogTime, Membership, NodeId, Outcome, PeerProgress,
    ProposalId, ReadId, Refusal, Role, SnapshotMark,
};

use crate::cluster::Cluster;

impl Cluster {
    pub(crate) fn entry(&mut self, id: u64) -> Entry {
        self.sequence += 1;
        let proposal = ProposalId { node: NodeId(id), incarnation: Incarnation(1), sequence: self.sequence };
        Entry::new(
            EntryKind::Commands,
            0,
            proposal,
            LogTime(self.sequence),
            Bytes::from_static(b"0123456789"),
        )
    }

    pub(crate) fn propose(&mut self, id: u64) -> ProposalId {
        let entry = self.entry(id);
        let proposal = entry.proposal;
        self.step(id, Event::Propose(entry));
        proposal
    }

    pub(crate) fn propose_many(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            self.propose(id);
        }
    }

    pub(crate) fn read(&mut self, id: u64, read: u64) {
        self.step(id, Event::Read(ReadId(read)));
    }

    pub(crate) fn lease_read(&mut self, id: u64, read: u64) {
        self.step(id, Event::LeaseRead(ReadId(read)));
    }

    /// Asks for these voters and learners.
    pub(crate) fn change(&mut self, id: u64, voters: &[u64], learners: &[u64]) -> ProposalId {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let membership = Membership::new(ids(voters), [], ids(learners)).expect("a few members");
        self.change_to(id, membership)
    }

    pub(crate) fn change_to(&mut self, id: u64, membership: Membership) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::ChangeMembership { proposal, membership });
        proposal
    }

    /// Asks for another leader.
    pub(crate) fn transfer(&mut self, id: u64, to: Option<u64>) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::TransferLeadership { proposal, to: to.map(NodeId) });
        proposal
    }

    /// What this member said of a request, in order.
    pub(crate) fn outcomes(&self, id: u64, proposal: ProposalId) -> Vec<Outcome> {
        let said = self.member(id).proposals.iter().filter(|(named, _)| *named == proposal);
        said.map(|(_, outcome)| *outcome).collect()
    }

    /// The last word of this member on a request, in words.
    pub(crate) fn refusal(&self, id: u64, proposal: ProposalId) -> String {
        match self.outcomes(id, proposal).last() {
            Some(Outcome::Refused(refusal)) => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Whether a request was taken up and then done.
    pub(crate) fn is_completed(&self, id: u64, proposal: ProposalId) -> bool {
        matches!(self.outcomes(id, proposal)[..], [Outcome::Accepted(_), Outcome::Completed])
    }

    pub(crate) fn voters(&self, id: u64) -> Vec<u64> {
        self.raft(id).membership().voters().iter().map(|node| node.0).collect()
    }

    /// What became of a read at this member.
    pub(crate) fn answer(&self, id: u64, read: u64) -> Option<Result<u64, Refusal>> {
        let answers = &self.member(id).reads;
        let found = answers.iter().find(|(answered, _)| answered.0 == read);
        found.map(|(_, answer)| answer.map(|index| index.0))
    }

    /// A snapshot of everything applied, keeping `kept` entries behind it.
    pub(crate) fn snapshot(&mut self, id: u64, kept: u64) {
        let applied = self.member(id).applied;
        let outline = &self.member(id).disk.view().outline;
        let generation = outline.generation_at(applied).unwrap_or_default();
        let entry = outline.memberships().iter().rev().find(|entry| entry.index <= applied);
        let begun = outline.snapshot.as_ref().map(|mark| mark.membership.clone());
        let founders = if self.joining.contains(&id) { Membership::default() } else { self.founders.clone() };
        let membership = match entry {
            Some(entry) => Membership::decode(&entry.body).expect("it is one"),
            None => begun.unwrap_or(founders),
        };
        let mark = SnapshotMark { index: applied, generation, membership };
        let keep_from = Index(applied.0.saturating_sub(kept)).next();
        self.step(id, Event::SnapshotTaken { mark, keep_from });
    }

    /// Carries the newest snapshot of one member to another.
    pub(crate) fn carry_snapshot(&mut self, from: u64, to: u64) {
        let mark = self.member(from).disk.view().outline.snapshot.clone().expect("there is a snapshot");
        let upto = Some(mark.index);
        self.step(to, Event::SnapshotReceived { from: NodeId(from), mark });
        self.step(from, Event::SnapshotSent { to: NodeId(to), upto });
    }

    pub(crate) fn role(&self, id: u64) -> Role {
        self.raft(id).standing().role
    }

    pub(crate) fn term(&self, id: u64) -> u64 {
        self.raft(id).standing().generation.round
    }

    pub(crate) fn commit(&self, id: u64) -> u64 {
        self.raft(id).standing().commit.0
    }

    pub(crate) fn last(&self, id: u64) -> u64 {
        self.raft(id).standing().last.0
    }

    /// The leader with the highest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.ids().into_iter().filter(|id| self.is_up(*id));
        up.filter(|id| self.role(*id) == Role::Leader).max_by_key(|id| self.term(*id))
    }

    /// The terms of the entries a member holds, written or being written.
    pub(crate) fn terms(&self, id: u64) -> Vec<u64> {
        self.member(id).disk.view().entries.values().map(|entry| entry.generation.round).collect()
    }

    pub(crate) fn progress(&self, leader: u64, peer: u64) -> PeerProgress {
        let mut all = Vec::new();
        self.raft(leader).progress(&mut all);
        *all.iter().find(|progress| progress.peer == NodeId(peer)).expect("there is such a peer")
    }
}
