//! [`Succession`]: someone asked a leader to hand over, and waits to hear who leads next.
//!
//! How leadership moves is each engine's own. What a leader is asked, why it declines, and what is said in the end is the
//! same with all of them, to the word: an operator need not know which engine runs.

use crate::{Effects, Generation, NodeId, Outcome, ProposalId, Refusal};

/// A request that another member lead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Succession {
    request: ProposalId,
    /// `None`: whoever it is.
    to: Option<NodeId>,
}

impl Succession {
    /// It is refused while another is under way.
    pub const UNDER_WAY: Refusal =
        Refusal::Invalid("leadership is being handed over already; ask again in a moment");
    /// It is refused while the members change: the successor could lose its vote in the middle (etcd#11417).
    pub const CHANGING: Refusal =
        Refusal::Invalid("a change of membership is under way; ask again when it is done");
    /// It failed: the time for it is up.
    pub const NOT_TAKEN: Refusal =
        Refusal::Invalid("the successor did not take over in time, and this node leads on; ask again");
    /// It failed: the successor cannot lead any more.
    pub const LOST_VOTE: Refusal =
        Refusal::Invalid("the successor has lost its vote meanwhile, and this node leads on");

    /// Somebody asked for this leader, under the name `request`, or for any other.
    pub const fn new(request: ProposalId, to: Option<NodeId>) -> Self {
        Self { request, to }
    }

    /// Who is to take over: whoever was asked for, if it is a voter; or else the best placed of those that were heard lately.
    ///
    /// # Errors
    /// [`Refusal::Invalid`], where there is nobody.
    pub fn heir(
        self,
        is_voter: impl FnOnce(NodeId) -> bool,
        best_placed: impl FnOnce() -> Option<NodeId>,
    ) -> Result<NodeId, Refusal> {
        match self.to {
            None => best_placed().ok_or(Refusal::Invalid(
                "no other voter was heard lately that could lead; ask again in a moment",
            )),
            Some(heir) if is_voter(heir) => Ok(heir),
            Some(_) => Err(Refusal::Invalid("only a voter can lead, and that node is none")),
        }
    }

    /// The leader of `generation` tells whether it hands over. To whom, if something is left to do: `None` when it is
    /// refused, or when it is the leader itself that was asked for.
    pub fn begin<M>(
        self,
        leader: NodeId,
        generation: Generation,
        heir: Result<NodeId, Refusal>,
        effects: &mut Effects<M>,
    ) -> Option<NodeId> {
        match heir {
            Ok(heir) => {
                self.tell(Outcome::Accepted(generation), effects);
                if heir == leader {
                    self.tell(Outcome::Completed, effects);
                }
                Some(heir).filter(|heir| *heir != leader)
            }
            Err(refusal) => {
                self.tell(Outcome::Refused(refusal), effects);
                None
            }
        }
    }

    /// It came to nothing: the leader leads on.
    pub fn fail<M>(self, reason: Refusal, effects: &mut Effects<M>) {
        self.tell(Outcome::Refused(reason), effects);
    }

    /// This member, leader before, has learnt who leads now: whoever was asked for, or somebody else.
    pub fn end<M>(self, this: NodeId, leader: NodeId, effects: &mut Effects<M>) {
        let as_wished = leader != this && self.to.is_none_or(|to| to == leader);
        let another = Refusal::Invalid("another member came to lead; ask again");
        self.tell(if as_wished { Outcome::Completed } else { Outcome::Refused(another) }, effects);
    }

    fn tell<M>(self, outcome: Outcome, effects: &mut Effects<M>) {
        effects.proposals.push((self.request, outcome));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Incarnation;

    const THIS: NodeId = NodeId(1);
    const GENERATION: Generation = Generation::new(3, THIS);

    fn asked_for(to: Option<u64>) -> Succession {
        let request = ProposalId { node: NodeId(9), incarnation: Incarnation(9), sequence: 9 };
        Succession::new(request, to.map(NodeId))
    }

    fn said(tell: impl FnOnce(&mut Effects<()>)) -> Vec<Outcome> {
        let mut effects = Effects::new();
        tell(&mut effects);
        effects.proposals.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn refusal(outcomes: &[Outcome]) -> String {
        match outcomes {
            [Outcome::Refused(refusal)] => refusal.to_string(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn it_begins_with_a_voter_or_is_refused() {
        let heir = |to, best: Option<u64>| {
            asked_for(to).heir(|node| node.0 <= 3, || best.map(NodeId)).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(heir(Some(3), Some(2)), Ok(NodeId(3)));
        assert_eq!(heir(None, Some(2)), Ok(NodeId(2)));
        assert!(heir(None, None).is_err_and(|words| words.contains("no other voter was heard")));
        assert!(heir(Some(4), Some(2)).is_err_and(|words| words.contains("only a voter can lead")));

        let begin = |heir| {
            let mut begun = None;
            let said = said(|effects| begun = asked_for(None).begin(THIS, GENERATION, heir, effects));
            (begun, said)
        };
        let accepted = Outcome::Accepted(GENERATION);
        assert_eq!(begin(Ok(NodeId(2))), (Some(NodeId(2)), vec![accepted]));
        assert_eq!(begin(Ok(THIS)), (None, vec![accepted, Outcome::Completed]));
        assert_eq!(begin(Err(Refusal::NotLeader)), (None, vec![Outcome::Refused(Refusal::NotLeader)]));
    }

    #[test]
    fn its_end_depends_on_who_leads() {
        let end = |to, leader| said(|effects| asked_for(to).end(THIS, NodeId(leader), effects));
        assert_eq!(end(Some(2), 2), [Outcome::Completed]);
        assert_eq!(end(None, 3), [Outcome::Completed]);
        for (to, leader) in [(Some(2), 3), (Some(2), 1), (None, 1)] {
            assert!(refusal(&end(to, leader)).contains("another member came to lead"));
        }
        let failed = said(|effects| asked_for(None).fail(Succession::NOT_TAKEN, effects));
        assert!(refusal(&failed).contains("did not take over in time"));
    }
}
