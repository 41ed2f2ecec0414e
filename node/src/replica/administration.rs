//! [`Administration`]: errands of operators, on their way to the leader and back.
//!
//! An errand has a name, as a proposal has, out of a space of its own; the engine puts that name into the entries it
//! makes of it, so that a later leader that finishes a change can tell whose it was.
//!
//! A change may take as long as a newcomer needs to catch up, so a silent leader is no reason to give it up. Who waits
//! hands the errand over again now and then, under the same name: the leader takes it once, whatever got lost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    Engine, Error, Event, Generation, Membership, NodeId, Outcome, ProposalId, Refusal, Role, Time,
};

use super::Replica;
use super::proposals::TIMED_OUT;
use super::taken::{Known, Taken};
use crate::envelope::{Envelope, ErrandOutcome};
use crate::errand::Errand;

/// Names of errands have this bit set, and names of proposals never.
const ERRAND: u64 = 1 << 63;
/// At most so many errands of one node wait.
const WAITING_MAX: usize = 64;

/// Errands of this node that wait for their end.
#[derive(Debug)]
pub(super) struct Administration {
    sequence: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// What others handed to this node.
    taken: Taken,
    /// After a refusal that will pass nothing is asked before this.
    not_before: Time,
    /// While no leader is heard: until when one has to be, else what was handed over is waited for no longer.
    led_by: Time,
    /// This leader's own wish to hand over, before it stops.
    pub(super) handing_over: bool,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    errand: Errand,
    /// The leadership it was handed to: what becomes of it is that leader's to say.
    handed: Option<Generation>,
    /// Another leads by now. It may go on with what it found in the log; nobody else will say anything.
    orphaned: bool,
    /// When to hand it over again, in case it got lost, or the answer to it.
    repeat_at: Time,
    /// Until when it may wait for a leader, and until when for its end.
    lead_by: Time,
    end_by: Time,
    /// No end is waited for beyond this, whatever happens.
    patience_ends: Time,
}

impl Administration {
    pub(super) fn new() -> Self {
        Self {
            sequence: 0,
            waiting: BTreeMap::new(),
            taken: Taken::default(),
            not_before: Time::ZERO,
            led_by: Time::MAX,
            handing_over: false,
        }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        ERRAND | self.sequence
    }

    pub(super) fn is_errand(proposal: ProposalId) -> bool {
        proposal.sequence & ERRAND != 0
    }

    pub(super) fn next_deadline(&self) -> Time {
        let ends = self.waiting.values().map(|waiting| match waiting.handed {
            Some(_) => waiting.end_by.min(waiting.repeat_at).min(self.led_by),
            None if self.not_before > Time::ZERO => waiting.lead_by.min(self.not_before),
            None => waiting.lead_by,
        });
        ends.min().unwrap_or(Time::MAX)
    }

    /// Ends the errand of that name.
    fn end(&mut self, sequence: u64, result: Result<(), Error>, out: &mut Vec<(u64, Result<(), Error>)>) {
        out.extend(self.waiting.remove(&sequence).map(|waiting| (waiting.ticket, result)));
    }

    /// The errand of that name certainly did not happen: it goes again, a moment later, under another name.
    fn again(&mut self, sequence: u64, not_before: Time) {
        if let Some(waiting) = self.waiting.remove(&sequence) {
            let sequence = self.next_sequence();
            self.waiting.insert(sequence, Waiting { handed: None, orphaned: false, ..waiting });
            self.not_before = not_before;
        }
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Takes an errand. `ticket` comes back in [`Outputs::administered`](super::Outputs::administered) with its end.
    pub fn administer(&mut self, now: Time, errand: Errand, ticket: u64) {
        if let Some(what) = Self::unsupported(&errand) {
            let reason = Refusal::Unsupported(what).to_string();
            return self.out.administered.push((ticket, Err(Error::Refused { reason })));
        }
        if let Errand::Replace { membership } = &errand
            && let Some(reason) = self.too_many(membership)
        {
            return self.out.administered.push((ticket, Err(Error::Refused { reason })));
        }
        if self.administration.waiting.len() >= WAITING_MAX {
            let reason = "too many errands wait already; ask again later".to_owned();
            return self.out.administered.push((ticket, Err(Error::Refused { reason })));
        }
        let lead_by = now + self.options.request_deadline;
        let patience = match errand {
            Errand::Transfer { .. } => self.options.request_deadline,
            _ => self.options.change_deadline,
        };
        let sequence = self.administration.next_sequence();
        let end_by = now + patience;
        let waiting = Waiting {
            ticket,
            errand,
            handed: None,
            orphaned: false,
            repeat_at: Time::MAX,
            lead_by,
            end_by,
            patience_ends: end_by,
        };
        self.administration.waiting.insert(sequence, waiting);
    }

    /// Members and their addresses stand whole in one entry, both the old and the new ones while a change is under way, and
    /// in the head of every piece of a snapshot. What one frame has no room for is refused at the door.
    fn too_many(&self, membership: &Membership) -> Option<String> {
        let bytes = self.engine.membership().encode().len() + membership.encode().len();
        let bytes_max = self.options.entry_bytes_max.max(self.options.command_bytes_max);
        (bytes > bytes_max).then(|| {
            format!(
                "the members and their addresses, old and new, take {bytes} bytes, and an entry has room for {bytes_max}; use shorter addresses, or raise command_bytes_max"
            )
        })
    }

    fn unsupported(errand: &Errand) -> Option<&'static str> {
        match errand {
            Errand::Transfer { .. } => {
                (!E::CAPABILITIES.leadership_transfer).then_some("a transfer of leadership")
            }
            _ => (!E::CAPABILITIES.membership_change).then_some("a change of membership"),
        }
    }

    /// Hands errands to the leader, and ends those whose time is up.
    pub(super) fn run_errands(&mut self, now: Time) {
        if self.administration.waiting.is_empty() {
            return;
        }
        self.orphan_errands(now);
        self.end_late_errands(now);
        self.repeat_errands(now);
        if now < self.administration.not_before {
            return;
        }
        self.administration.not_before = Time::ZERO;
        let open = self.administration.waiting.iter().filter(|(_, waiting)| waiting.handed.is_none());
        for sequence in open.map(|(sequence, _)| *sequence).collect::<Vec<_>>() {
            self.run_errand(now, sequence);
        }
    }

    fn end_late_errands(&mut self, now: Time) {
        let (waited, removed) = (self.options.request_deadline, self.removal().map(|removal| removal.at));
        let no_leader = Error::NoLeader { waited, removed };
        let Administration { waiting, led_by, .. } = &mut self.administration;
        let is_cut_off = now >= *led_by;
        let late = |waiting: &Waiting| match waiting.handed {
            Some(_) => is_cut_off || now >= waiting.end_by,
            None => now >= waiting.lead_by,
        };
        let ended: Vec<u64> =
            waiting.iter().filter(|(_, waiting)| late(waiting)).map(|(sequence, _)| *sequence).collect();
        for waiting in ended.into_iter().filter_map(|sequence| waiting.remove(&sequence)) {
            let reason = match waiting.orphaned {
                true => LEADER_LOST,
                false if is_cut_off => CUT_OFF,
                false => TIMED_OUT,
            };
            let unknown = Error::OutcomeUnknown { reason };
            let error = if waiting.handed.is_some() { unknown } else { no_leader.clone() };
            self.out.administered.push((waiting.ticket, Err(error)));
        }
    }

    /// Says again to a leader that stays what it was handed and has not answered: it, or the answer, may be lost.
    fn repeat_errands(&mut self, now: Time) {
        let standing = self.standing;
        let patience = self.options.timing.election_timeout_max;
        let mut silent = Vec::new();
        for (sequence, waiting) in &mut self.administration.waiting {
            if waiting.handed.is_some() && now >= waiting.repeat_at {
                waiting.repeat_at = now + patience;
                if waiting.handed == Some(standing.generation) {
                    silent.push((*sequence, waiting.errand.clone()));
                }
            }
        }
        let others = |leader: &NodeId| *leader != self.identity.node;
        let Some(leader) = standing.leader.filter(others) else { return };
        for (sequence, errand) in silent {
            self.hand_over_errand(leader, standing.generation, sequence, errand);
        }
    }

    /// A leader that is gone says no more of the errands it was handed. Its successor does of those that got as far as the
    /// log, and that shows: a change is under way. Without one, or once it is over, it is waited a moment longer.
    fn orphan_errands(&mut self, now: Time) {
        let standing = self.standing;
        // A candidate may know who led last; it does not hear of it.
        let hears = standing.leader.is_some() && standing.role != Role::Candidate;
        let led_by = now + self.options.request_deadline;
        self.administration.led_by = if hears { Time::MAX } else { self.administration.led_by.min(led_by) };
        if standing.leader.is_none() {
            return;
        }
        let is_under_way = self.engine.membership().is_joint();
        let give_up_at = now + self.options.request_deadline;
        for waiting in self.administration.waiting.values_mut() {
            if waiting.handed.is_some_and(|handed| handed < standing.generation)
                && (is_under_way || !waiting.orphaned)
            {
                waiting.end_by = give_up_at.min(waiting.patience_ends);
                waiting.orphaned = true;
            }
        }
    }

    fn run_errand(&mut self, now: Time, sequence: u64) {
        let standing = self.standing;
        let Some(leader) = standing.leader else { return };
        let Some(waiting) = self.administration.waiting.get_mut(&sequence) else { return };
        waiting.handed = Some(standing.generation);
        waiting.repeat_at = now + self.options.timing.election_timeout_max;
        let errand = waiting.errand.clone();
        let (node, incarnation) = (self.identity.node, self.identity.incarnation);
        if leader == node {
            self.carry_out_errand(now, ProposalId { node, incarnation, sequence }, &errand);
        } else {
            self.hand_over_errand(leader, standing.generation, sequence, errand);
        }
    }

    fn hand_over_errand(&mut self, leader: NodeId, generation: Generation, sequence: u64, errand: Errand) {
        let incarnation = self.identity.incarnation;
        let envelope = Envelope::Errand { generation, incarnation, sequence, errand };
        self.ship(leader, envelope, Bytes::new());
    }

    /// Another node hands an errand to this one, the leader of that generation as far as it knows.
    pub(super) fn take_errand(
        &mut self,
        now: Time,
        generation: Generation,
        proposal: ProposalId,
        errand: &Errand,
    ) {
        if !Administration::is_errand(proposal) {
            return;
        }
        match self.administration.taken.take(proposal, self.engine.membership()) {
            Known::Nothing => {}
            Known::UnderWay => return,
            Known::Ended(outcome) => return self.tell_errand(now, proposal, outcome),
        }
        let standing = self.standing;
        if standing.role == Role::Leader && standing.generation == generation {
            self.carry_out_errand(now, proposal, errand);
        } else if self.led.is_some_and(|first| first <= generation) && generation.node == self.identity.node {
            // As for a forwarded proposal: only one that this life has never taken is said not to have happened.
            self.tell_errand(now, proposal, ErrandOutcome::NotTaken);
        }
    }

    fn carry_out_errand(&mut self, now: Time, proposal: ProposalId, errand: &Errand) {
        match errand.apply(self.engine.membership()) {
            Ok(Some(membership)) => match self.too_many(&membership) {
                Some(reason) => self.tell_errand(now, proposal, ErrandOutcome::Refused(reason)),
                None => self.step(now, Event::ChangeMembership { proposal, membership }),
            },
            Ok(None) => {
                let to = if let Errand::Transfer { to } = errand { *to } else { None };
                self.step(now, Event::TransferLeadership { proposal, to });
            }
            Err(reason) => self.tell_errand(now, proposal, ErrandOutcome::Refused(reason)),
        }
    }

    /// The engine says what became of an errand.
    pub(super) fn errand_outcome(&mut self, now: Time, proposal: ProposalId, outcome: Outcome) {
        let told = match outcome {
            Outcome::Accepted(_) => return,
            Outcome::Completed => ErrandOutcome::Done,
            Outcome::Refused(Refusal::NotLeader | Refusal::NotYet(_)) => ErrandOutcome::NotTaken,
            Outcome::Refused(refusal) => ErrandOutcome::Refused(refusal.to_string()),
            Outcome::Unknown => ErrandOutcome::Unknown,
        };
        self.tell_errand(now, proposal, told);
    }

    fn tell_errand(&mut self, now: Time, proposal: ProposalId, outcome: ErrandOutcome) {
        let ProposalId { node, incarnation, sequence } = proposal;
        if node == self.identity.node {
            if incarnation == self.identity.incarnation {
                self.errand_ended(now, sequence, outcome);
            }
        } else {
            self.administration.taken.ended(proposal, outcome.clone(), self.engine.membership());
            self.ship(node, Envelope::ErrandEnded { incarnation, sequence, outcome }, Bytes::new());
        }
    }

    /// An errand of this life has come to its end, or has to be handed over again.
    pub(super) fn errand_ended(&mut self, now: Time, sequence: u64, outcome: ErrandOutcome) {
        if sequence == ERRAND {
            self.administration.handing_over = false;
            return;
        }
        let result = match outcome {
            ErrandOutcome::Done => Ok(()),
            ErrandOutcome::NotTaken => {
                let not_before = now + self.options.timing.heartbeat / 4;
                return self.administration.again(sequence, not_before);
            }
            ErrandOutcome::Refused(reason) => Err(Error::Refused { reason }),
            ErrandOutcome::Unknown => Err(Error::OutcomeUnknown { reason: LEADER_LOST }),
        };
        self.administration.end(sequence, result, &mut self.out.administered);
    }

    /// Before this node stops: if it leads, another should. Whether that is under way is told by
    /// [`is_quiet`](Self::is_quiet), for one election timeout at most.
    pub fn hand_over(&mut self, now: Time) {
        if E::CAPABILITIES.leadership_transfer && self.standing.role == Role::Leader {
            self.administration.handing_over = true;
            let (node, incarnation) = (self.identity.node, self.identity.incarnation);
            let proposal = ProposalId { node, incarnation, sequence: ERRAND };
            self.step(now, Event::TransferLeadership { proposal, to: None });
        }
    }

    /// Ends every errand: the node stops.
    pub(super) fn fail_errands(&mut self, error: &Error) {
        for (_, waiting) in std::mem::take(&mut self.administration.waiting) {
            let unknown = Error::OutcomeUnknown { reason: super::NODE_STOPPED };
            let error = if waiting.handed.is_some() { unknown } else { error.clone() };
            self.out.administered.push((waiting.ticket, Err(error)));
        }
    }
}

const LEADER_LOST: &str = "the leader that had begun with it leads no longer; look at the members there are";
const CUT_OFF: &str = "no leader is heard that could say what became of it; look at the members there are";

/// How long a change may take before its end is no longer waited for: as long as a large snapshot takes.
pub(crate) const CHANGE_DEADLINE: Duration = Duration::from_secs(900);
