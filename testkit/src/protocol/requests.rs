//! What a test asks of a cluster, and what it looks at.

use bytes::Bytes;
use consensus_api::{
    Engine, Entry, EntryKind, Event, Generation, Incarnation, Index, LogTime, Membership, NodeId, Outcome,
    PeerProgress, ProposalId, ReadId, Refusal, Role, SnapshotMark,
};

use super::Cluster;

impl<E: Engine> Cluster<E> {
    /// A new entry of this member, not proposed yet.
    pub fn entry(&mut self, id: u64) -> Entry {
        self.sequence += 1;
        let proposal = ProposalId { node: NodeId(id), incarnation: Incarnation(1), sequence: self.sequence };
        let time = LogTime(self.sequence);
        Entry::new(EntryKind::Commands, 0, proposal, time, Bytes::from_static(b"0123456789"))
    }

    /// A new entry in its place.
    pub fn placed(&mut self, index: u64, generation: Generation) -> Entry {
        let mut entry = self.entry(generation.node.0);
        (entry.index, entry.generation) = (Index(index), generation);
        entry
    }

    /// Proposes a new entry.
    pub fn propose(&mut self, id: u64) -> ProposalId {
        let entry = self.entry(id);
        let proposal = entry.proposal;
        self.step(id, Event::Propose(entry));
        proposal
    }

    /// Proposes so many.
    pub fn propose_many(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            self.propose(id);
        }
    }

    /// Begins a linearizable read.
    pub fn read(&mut self, id: u64, read: u64) {
        self.step(id, Event::Read(ReadId(read)));
    }

    /// Begins a read out of a lease.
    pub fn lease_read(&mut self, id: u64, read: u64) {
        self.step(id, Event::LeaseRead(ReadId(read)));
    }

    /// Asks for these voters and learners.
    pub fn change(&mut self, id: u64, voters: &[u64], learners: &[u64]) -> ProposalId {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let membership = Membership::new(ids(voters), [], ids(learners)).expect("a few members");
        self.change_to(id, membership)
    }

    /// Asks for another membership.
    pub fn change_to(&mut self, id: u64, membership: Membership) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::ChangeMembership { proposal, membership });
        proposal
    }

    /// Asks for another leader.
    pub fn transfer(&mut self, id: u64, to: Option<u64>) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::TransferLeadership { proposal, to: to.map(NodeId) });
        proposal
    }

    /// What this member said of a request, in order.
    pub fn outcomes(&self, id: u64, proposal: ProposalId) -> Vec<Outcome> {
        let said = self.member(id).proposals.iter().filter(|(named, _)| *named == proposal);
        said.map(|(_, outcome)| *outcome).collect()
    }

    /// The last word of this member on a request, in words.
    pub fn refusal(&self, id: u64, proposal: ProposalId) -> String {
        match self.outcomes(id, proposal).last() {
            Some(Outcome::Refused(refusal)) => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Whether a request was taken up and then done.
    pub fn is_completed(&self, id: u64, proposal: ProposalId) -> bool {
        matches!(self.outcomes(id, proposal)[..], [Outcome::Accepted(_), Outcome::Completed])
    }

    /// What became of a read at this member.
    pub fn answer(&self, id: u64, read: u64) -> Option<Result<u64, Refusal>> {
        let found = self.member(id).reads.iter().find(|(answered, _)| answered.0 == read);
        found.map(|(_, answer)| answer.map(|index| index.0))
    }

    /// A snapshot of everything applied, keeping `kept` entries behind it.
    pub fn snapshot(&mut self, id: u64, kept: u64) {
        let applied = self.member(id).applied;
        let outline = self.member(id).disk.view().outline();
        let generation = outline.generation_at(applied).unwrap_or_default();
        let entry = outline.memberships().iter().rev().find(|entry| entry.index <= applied);
        let begun = outline.snapshot.as_ref().map(|mark| mark.membership.clone());
        let membership = match entry {
            Some(entry) => Membership::decode(&entry.body).expect("it is one"),
            None => begun.unwrap_or_else(|| self.founders_of(id)),
        };
        let mark = SnapshotMark { index: applied, generation, membership };
        let keep_from = Index(applied.0.saturating_sub(kept)).next();
        self.step(id, Event::SnapshotTaken { mark, keep_from });
    }

    /// Carries the newest snapshot of one member to another.
    pub fn carry_snapshot(&mut self, from: u64, to: u64) {
        let mark = self.member(from).disk.view().outline().snapshot.clone().expect("there is a snapshot");
        let upto = Some(mark.index);
        self.step(to, Event::SnapshotReceived { from: NodeId(from), mark });
        self.step(from, Event::SnapshotSent { to: NodeId(to), upto });
    }

    /// What a member does.
    pub fn role(&self, id: u64) -> Role {
        self.engine(id).standing().role
    }

    /// The round of a member's generation: the term, or the ballot's number.
    pub fn round(&self, id: u64) -> u64 {
        self.engine(id).standing().generation.round
    }

    /// Up to where a member knows the log to be committed.
    pub fn commit(&self, id: u64) -> u64 {
        self.engine(id).standing().commit.0
    }

    /// The last index of a member's log.
    pub fn last(&self, id: u64) -> u64 {
        self.engine(id).standing().last.0
    }

    /// The voters that a member knows.
    pub fn voters(&self, id: u64) -> Vec<u64> {
        self.engine(id).membership().voters().iter().map(|node| node.0).collect()
    }

    /// The leader of the highest round.
    pub fn leader(&self) -> Option<u64> {
        let up = self.ids().into_iter().filter(|id| self.is_up(*id));
        up.filter(|id| self.role(*id) == Role::Leader).max_by_key(|id| self.round(*id))
    }

    /// What a leader knows of a peer.
    pub fn progress(&self, leader: u64, peer: u64) -> PeerProgress {
        let mut all = Vec::new();
        self.engine(leader).progress(&mut all);
        *all.iter().find(|progress| progress.peer == NodeId(peer)).expect("there is such a peer")
    }

    /// What a member holds at an index, written or being written.
    pub fn held(&self, id: u64, index: u64) -> Option<&Entry> {
        self.member(id).disk.view().entries().get(&Index(index))
    }

    /// The rounds of the entries that a member holds.
    pub fn rounds(&self, id: u64) -> Vec<u64> {
        self.member(id).disk.view().entries().values().map(|entry| entry.generation.round).collect()
    }

    /// What kinds of entries a member holds: `C` for commands, `n` for a no-op, `M` for members, `.` for a hole.
    pub fn shape(&self, id: u64) -> String {
        let kind = |index| match self.held(id, index).map(|entry| entry.kind) {
            Some(EntryKind::Commands | EntryKind::Sessions) => 'C',
            Some(EntryKind::Noop) => 'n',
            Some(EntryKind::Membership | EntryKind::Digest) => 'M',
            None => '.',
        };
        (1..=self.last(id)).map(kind).collect()
    }
}
