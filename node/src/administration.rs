//! Administration: who takes part in the cluster, and who leads it, asked for on any node; and snapshots of one's own.
//!
//! Each call waits until what it asks for is done, or says why not. A node that does not lead asks the leader. What is
//! certain not to have happened (there was no leader, or not for long enough) is asked for again until the request's
//! deadline; anything else never is.

use consensus_api::{Error, Index, Membership, NodeId, StateMachine};
use tokio::sync::oneshot;

use crate::driver::Request;
use crate::errand::Errand;
use crate::handle::Node;
use crate::replica::NODE_STOPPED;

impl<S: StateMachine, D> Node<S, D> {
    /// The members, as the leader knew them after this call began: what was answered before is in it.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn members(&self) -> Result<Membership, Error> {
        self.read(|_| ()).await?;
        let (sender, receiver) = oneshot::channel();
        self.shared().send(Request::Members(sender))?;
        receiver.await.map_err(|_| self.shared().stopped())
    }

    /// Adds a member that receives the log and has no vote. `address` is where the transport finds it, if it needs to be
    /// told; else it is empty.
    ///
    /// # Errors
    /// [`Error::Refused`] says what stands against it, such as another change under way. [`Error::OutcomeUnknown`] when
    /// no end of it was seen in time: look at [`members`](Self::members).
    pub async fn add_learner(
        &self,
        node: impl Into<NodeId>,
        address: impl Into<String>,
    ) -> Result<(), Error> {
        self.administer(Errand::AddLearner { node: node.into(), address: address.into() }).await
    }

    /// Gives a member a vote, once it has caught up with the log. As long as that takes the cluster goes on without it.
    ///
    /// # Errors
    /// As for [`add_learner`](Self::add_learner); also [`Error::Refused`] when it does not catch up, and then it is what
    /// it was.
    pub async fn promote(&self, node: impl Into<NodeId>) -> Result<(), Error> {
        self.administer(Errand::Promote { node: node.into() }).await
    }

    /// Removes a member, voter or not. A leader that is removed hands over first. The node goes on running, without a
    /// part in the cluster; shut it down at leisure.
    ///
    /// # Errors
    /// As for [`add_learner`](Self::add_learner).
    pub async fn remove(&self, node: impl Into<NodeId>) -> Result<(), Error> {
        self.administer(Errand::Remove { node: node.into() }).await
    }

    /// Makes these the members, by whatever steps it takes: new voters catch up first, and old and new ones hand over to
    /// each other without a gap. Addresses that are not given stay as they are.
    ///
    /// # Errors
    /// As for [`promote`](Self::promote).
    pub async fn change_membership(&self, membership: Membership) -> Result<(), Error> {
        self.administer(Errand::Replace { membership }).await
    }

    /// From now on every node finds this member at another address.
    ///
    /// # Errors
    /// As for [`add_learner`](Self::add_learner).
    pub async fn set_address(
        &self,
        node: impl Into<NodeId>,
        address: impl Into<String>,
    ) -> Result<(), Error> {
        self.administer(Errand::SetAddress { node: node.into(), address: address.into() }).await
    }

    /// Lets `to` lead, or whoever is best placed. Writes wait meanwhile, for one election timeout at most.
    ///
    /// # Errors
    /// [`Error::Refused`] says why the leader leads on. [`Error::OutcomeUnknown`] when no end of it was seen in time.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<(), Error> {
        self.administer(Errand::Transfer { to }).await
    }

    /// Takes a snapshot of this node's state, beside its work and whatever its [`CompactionPolicy`](crate::CompactionPolicy)
    /// says, and returns once it is durable: the last entry that it covers. It holds at least what this node had applied
    /// when this was called; if the newest snapshot holds that already, no other is taken. For all that was answered
    /// before, on whichever node, call [`read`](Self::read) first.
    ///
    /// It asks nobody, so it works without a leader, too. It takes as long as it takes to write the state to the disk, after
    /// the snapshot that is being taken already, if there is one. Dropping the future ends the waiting, not the snapshot.
    ///
    /// ```no_run
    /// # use consensus_api::{Error, StateMachine};
    /// # use quorate_node::Node;
    /// # async fn all_of_it<S: StateMachine>(node: Node<S>) -> Result<(), Error> {
    /// node.read(|_| ()).await?;
    /// let upto = node.take_snapshot().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] says why there is none: the storage's or the state machine's own words, or that this node has
    /// applied nothing yet. [`Error::Stopped`] when the node stopped before.
    pub async fn take_snapshot(&self) -> Result<Index, Error> {
        let (answer, receiver) = oneshot::channel();
        self.shared().send(Request::Snapshot(answer))?;
        receiver.await.unwrap_or_else(|_| Err(self.shared().stopped()))
    }

    async fn administer(&self, errand: Errand) -> Result<(), Error> {
        let (answer, receiver) = oneshot::channel();
        self.shared().send(Request::Administer { errand: Box::new(errand), answer })?;
        receiver.await.unwrap_or(Err(Error::OutcomeUnknown { reason: NODE_STOPPED }))
    }
}
