//! [`Newcomers`]: those who are to vote, and learn before they do, lest they hold up every decision (Ongaro's thesis, section
//! 4.2.1).
//!
//! By which steps a membership changes, and how far a member has come, is each engine's own. That newcomers learn first, when
//! they have learnt enough, and when they are given up, is the same with all of them.

use std::time::Duration;

use crate::{Index, Membership, MembershipError, Moment, NodeId, Time, Timing};

/// Those whom a change of membership is to make voters.
#[derive(Clone, Hash, Debug)]
pub struct Newcomers {
    all: Vec<Newcomer>,
    /// Members only for the sake of this change.
    added: Vec<NodeId>,
    began: Moment,
}

/// One who is to vote. It catches up in rounds: each brings what was there when it began, and is shorter than the one before.
/// Once a round takes less than an election timeout, the rest will too.
#[derive(Clone, Hash, Debug)]
struct Newcomer {
    id: NodeId,
    /// What ends this round.
    goal: Index,
    began: Moment,
    caught_up: bool,
}

impl Newcomers {
    /// A newcomer that is silent for so many of the longest election timeouts is given up.
    pub const SILENT_TIMEOUTS_MAX: u32 = 5;

    /// Those who vote in `target` and not in `current`. The first round begins now, and ends when all up to `goal` is there.
    pub fn of(target: &Membership, current: &Membership, now: Time, goal: Index) -> Self {
        let ids = target.voters().iter().copied().filter(|voter| !current.is_voter(*voter));
        let newcomer = |id| Newcomer { id, goal, began: Moment(now), caught_up: false };
        let all: Vec<Newcomer> = ids.map(newcomer).collect();
        let added = all.iter().map(|newcomer| newcomer.id).filter(|id| !current.contains(*id)).collect();
        Self { all, added, began: Moment(now) }
    }

    /// The membership in which they learn: `current`, with those as learners who are no members yet. `None` if there is
    /// nobody to add. What is known of them stands in `target`.
    ///
    /// # Errors
    /// [`MembershipError`] when there are too many.
    pub fn admitted(
        &self,
        target: &Membership,
        current: &Membership,
    ) -> Result<Option<Membership>, MembershipError> {
        if self.added.is_empty() {
            return Ok(None);
        }
        let learners = current.learners().iter().chain(&self.added).copied();
        let grown = Membership::new(current.voters().iter().copied(), [], learners)?;
        Ok(Some(grown.with_particulars_of(target).with_particulars_of(current)))
    }

    /// The change is given up: `current` without those who were members only for its sake. `None` if nobody was.
    pub fn dismissed(&self, current: &Membership) -> Option<Membership> {
        let learners = current.learners().iter().filter(|learner| !self.added.contains(learner));
        let former = Membership::new(current.voters().iter().copied(), [], learners.copied()).ok()?;
        Some(former.with_particulars_of(current)).filter(|_| !self.added.is_empty())
    }

    /// Whether all of them may vote from now on.
    pub fn have_caught_up(&self) -> bool {
        self.all.iter().all(|newcomer| newcomer.caught_up)
    }

    /// Looks at how far they have come: `progress` says so of each, and when it was last heard. A round that begins now ends at
    /// `goal`. One that takes longer than `patience`, or is silent for too long, if there is one.
    ///
    /// Where the leader is known by its disk (`current`), nobody has caught up who is known by none.
    pub fn find_late(
        &mut self,
        (now, goal): (Time, Index),
        (timing, patience): (&Timing, Duration),
        (leader, current): (NodeId, &Membership),
        progress: impl Fn(NodeId) -> Option<(Index, Time)>,
    ) -> Option<NodeId> {
        let began = self.began.0;
        let is_known = |member| current.store(leader).is_none() || current.store(member).is_some();
        for newcomer in self.all.iter_mut().filter(|newcomer| !newcomer.caught_up) {
            let known = progress(newcomer.id);
            if known.is_some_and(|(reached, _)| reached >= newcomer.goal) {
                let is_near = now.since(newcomer.began.0) < timing.election_timeout_min;
                newcomer.caught_up = is_near && is_known(newcomer.id);
                (newcomer.began, newcomer.goal) = (Moment(now), goal);
            }
            let silence = now.since(known.map_or(began, |(_, heard)| heard.max(began)));
            let is_silent = silence >= timing.election_timeout_max * Self::SILENT_TIMEOUTS_MAX;
            if !newcomer.caught_up && (is_silent || now.since(began) >= patience) {
                return Some(newcomer.id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreId;

    const LEADER: NodeId = NodeId(1);
    const NEW: NodeId = NodeId(4);
    const SECOND: Duration = Duration::from_secs(1);
    const BEGIN: Time = Time(9_000_000_000);

    fn members(voters: &[u64], learners: &[u64]) -> Membership {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        Membership::new(ids(voters), [], ids(learners)).expect("a few members")
    }

    /// Node 4 is to vote, and to learn up to 100 first.
    fn one() -> (Newcomers, Membership) {
        let current = members(&[1, 2, 3], &[4]);
        (Newcomers::of(&members(&[1, 2, 3, 4], &[]), &current, BEGIN, Index(100)), current)
    }

    /// Looks after so many milliseconds, when node 4 has come so far, was heard so long ago, and the log ends at 200.
    fn late(
        newcomers: &mut Newcomers,
        current: &Membership,
        (after, reached, silent): (u32, u64, u32),
    ) -> Option<NodeId> {
        let now = BEGIN + SECOND / 1000 * after;
        let progress = |id| (id == NEW).then_some((Index(reached), now - SECOND / 1000 * silent));
        let patience = SECOND * 60;
        newcomers.find_late((now, Index(200)), (&Timing::default(), patience), (LEADER, current), progress)
    }

    #[test]
    fn who_is_no_member_learns_as_one_and_goes_again() {
        let current = members(&[1, 2], &[3]);
        let target = members(&[2, 3, 4], &[5]).with_address(NEW, "there").expect("a short one");
        let newcomers = Newcomers::of(&target, &current, BEGIN, Index(1));
        assert!(!newcomers.have_caught_up());
        let grown = newcomers.admitted(&target, &current).expect("they are few").expect("node 4 is new");
        assert!(
            grown.has_same_members(&members(&[1, 2], &[3, 4])),
            "neither in nor out but those who are to vote"
        );
        assert_eq!(grown.address(NEW), Some("there"));
        assert_eq!(newcomers.dismissed(&grown), Some(current));
    }

    #[test]
    fn who_is_a_member_already_changes_nothing_by_learning() {
        let (newcomers, current) = one();
        assert_eq!(newcomers.admitted(&members(&[1, 2, 3, 4], &[]), &current), Ok(None));
        assert_eq!(newcomers.dismissed(&current), None);
        assert!(
            Newcomers::of(&members(&[1], &[]), &current, BEGIN, Index(9)).have_caught_up(),
            "nobody is new"
        );
    }

    #[test]
    fn a_round_that_was_short_is_the_last() {
        let (mut newcomers, current) = one();
        assert_eq!(late(&mut newcomers, &current, (900, 99, 0)), None);
        assert!(!newcomers.have_caught_up());
        assert_eq!(late(&mut newcomers, &current, (1000, 100, 0)), None, "there, and it took a timeout");
        assert!(!newcomers.have_caught_up());
        assert_eq!(late(&mut newcomers, &current, (1500, 199, 0)), None);
        assert!(!newcomers.have_caught_up(), "the second round ends at 200");
        assert_eq!(late(&mut newcomers, &current, (1999, 200, 0)), None);
        assert!(newcomers.have_caught_up());
        assert_eq!(late(&mut newcomers, &current, (90_000, 200, 50_000)), None, "that is final");
    }

    #[test]
    fn whoever_is_silent_or_takes_too_long_is_late() {
        let (mut newcomers, current) = one();
        assert_eq!(late(&mut newcomers.clone(), &current, (20_000, 50, 9_999)), None);
        assert_eq!(late(&mut newcomers.clone(), &current, (20_000, 50, 10_000)), Some(NEW));
        assert_eq!(
            late(&mut newcomers.clone(), &current, (9_999, 50, 20_000)),
            None,
            "silent before it began"
        );
        assert_eq!(late(&mut newcomers.clone(), &current, (59_999, 50, 0)), None);
        assert_eq!(late(&mut newcomers, &current, (60_000, 50, 0)), Some(NEW));
    }

    #[test]
    fn nobody_votes_who_is_known_by_no_disk_where_the_leader_is() {
        let (mut newcomers, current) = one();
        let current = current.with_store(LEADER, StoreId(1)).expect("a member");
        assert_eq!(late(&mut newcomers, &current, (10, 100, 0)), None);
        assert!(!newcomers.have_caught_up());
        let current = current.with_store(NEW, StoreId(4)).expect("a member");
        assert_eq!(late(&mut newcomers, &current, (20, 200, 0)), None);
        assert!(newcomers.have_caught_up());
    }
}
