//! [`Survivor`]: what is left of a cluster that has lost its quorum for good, and how another is founded from it.
//!
//! **Unsafe.** A majority of disks holds every write that was answered; fewer may lack some, and nothing tells which. So
//! nothing here happens by itself, and what may be lost is said first ([`Survivor`] is shown as text) and accepted by name.
//!
//! The survivor's log is not changed. What it holds becomes a snapshot, and a *new* cluster with a name, disks and members
//! of its own begins with it, just as one that has changed its engine does. So nothing that the lost members have promised,
//! or may yet say, counts: transports refuse who is of another cluster, and a number without the new disk is refused, too.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use consensus_api::{
    ClusterName, Engine, Generation, Index, LogReader, LogStorage, Membership, NodeId, Outline, SnapshotMark,
    StartError, StateMachine, StoreId,
};

use crate::applier::Applier;
use crate::blocking::WriteSnapshot;
use crate::builder::{check_members, check_own};
use crate::moving::{attach_empty, begin_with, identity, refuse};
use crate::worker::restore;

/// The log of a stopped member, opened to be looked at and compared with others. Shown as text, it says what it holds, and
/// what may be lost if a cluster is founded from it alone.
#[derive(Debug)]
pub struct Survivor<E, L> {
    log: L,
    cluster: ClusterName,
    node: NodeId,
    store: StoreId,
    snapshot: Option<SnapshotMark>,
    committed: Index,
    last: Index,
    generation: Generation,
    membership: Membership,
    engine: PhantomData<fn() -> E>,
}

/// The cluster to be: what it is called, and who founds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewCluster {
    /// Its name. Not that of the old one: members of the old one that come back are told apart by it.
    pub name: String,
    /// The founders, all of which begin with the same survivor's state. One, to which others are added while it runs, is
    /// the usual form; with an engine whose members are fixed, all of them.
    pub members: Vec<NodeId>,
}

/// Read at once from the survivor's log, in bytes.
const READ_BYTES: usize = 1 << 20;

impl<E: Engine, L: LogStorage> Survivor<E, L> {
    /// Opens the log of `node`, which does not run, and finds out what it holds. It is only read.
    ///
    /// # Errors
    /// [`StartError`] when the log is another's or is damaged, or when the snapshot that it continues is missing.
    pub async fn open(cluster: &str, node: impl Into<NodeId>, mut log: L) -> Result<Self, StartError> {
        let (node, name) = (node.into(), name_of(cluster)?);
        let recovered = log.attach(&identity(&name, node, E::NAME))?;
        let snapshot = log.snapshots().latest().await?.map(|newest| newest.mark().clone());
        let outline = &recovered.outline;
        let covered = snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
        let marked = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
        if covered < marked.max(outline.compacted) {
            let goes_on = marked.max(outline.compacted);
            let problem = format!(
                "it continues a snapshot of entry {goes_on}, but the newest there is of {covered}; restore the snapshot \
                 file, or take another survivor"
            );
            return Err(refuse(node, problem));
        }
        let (last, generation) = end::<E>(outline, snapshot.as_ref());
        let in_log = outline.memberships().iter().rev().find(|entry| entry.index <= last);
        let in_log =
            in_log.filter(|entry| entry.index > covered).map(|entry| Membership::decode(&entry.body));
        let in_mark = snapshot.as_ref().or(outline.snapshot.as_ref()).map(|mark| &mark.membership);
        let membership = match in_log {
            Some(membership) => membership.map_err(|error| refuse(node, error.to_string()))?,
            None => in_mark.cloned().unwrap_or_default(),
        };
        let committed = outline.watermark.min(last).max(covered);
        let (store, engine) = (recovered.store, PhantomData);
        Ok(Self {
            log,
            cluster: name,
            node,
            store,
            snapshot,
            committed,
            last,
            generation,
            membership,
            engine,
        })
    }

    /// Its disk: the name under which its loss is accepted.
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// The last entry that it holds, without a gap before it.
    pub const fn last(&self) -> Index {
        self.last
    }

    /// Known to be committed: up to here nothing is in doubt. What was answered may reach further.
    pub const fn committed(&self) -> Index {
        self.committed
    }

    /// Who took part in the old cluster, as far as this log knows.
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Which of two survivors lacks less: `Greater` if this one is to be preferred.
    ///
    /// With one leader at a time it is the one whose last entry is of the later leadership, and only then the longer one, as
    /// for a vote (Ongaro and Ousterhout 2014, section 5.4.1); if each slot of the log is decided by itself, the longer one.
    pub fn compare(&self, other: &Self) -> Ordering {
        let rank =
            |of: &Self| (if E::CAPABILITIES.holes { Generation::ZERO } else { of.generation }, of.last);
        rank(self).cmp(&rank(other))
    }

    /// Begins the log of `node`, one of the founders of a new cluster, with everything that this survivor holds. **Unsafe**:
    /// what may be lost is what this survivor says when it is shown as text. Once per founder, each time with the same
    /// survivor. `machine` is a state machine as of a first start; it is handed back with the survivor's state.
    ///
    /// `loss_accepted_of` names [the survivor's disk](Self::store): whoever goes on has looked at this very log, and a
    /// script that does it cannot do it a second time to another.
    ///
    /// # Errors
    /// [`StartError`] when another disk is named, when the new cluster has the old one's name or cannot have these members,
    /// when the new log is not empty, or when something cannot be read, applied or written. The survivor's log is the
    /// same afterwards, and it may be tried again with another empty folder.
    pub async fn unsafely_found<S: StateMachine>(
        &self,
        new_cluster: &NewCluster,
        (node, mut new): (NodeId, impl LogStorage),
        loss_accepted_of: StoreId,
        machine: S,
    ) -> Result<S, StartError> {
        self.check(new_cluster, loss_accepted_of)?;
        let founders = check_members(node, &new_cluster.members)?.with_particulars_of(&self.addresses());
        attach_empty::<E>(&name_of(&new_cluster.name)?, node, &mut new)?;
        let applier = self.state(machine).await?;
        let point = applier.snapshot().map_err(|failure| refuse(self.node, failure.0))?;
        // No leadership of the new cluster has been before it.
        let mark = SnapshotMark { index: self.last, generation: Generation::ZERO, membership: founders };
        let mut copy = WriteSnapshot::new(new.snapshots().begin(&mark).await?);
        point.write_to(&mut copy).map_err(|error| refuse(node, format!("its snapshot: {error}")))?;
        copy.finish()?;
        begin_with(&mut new, mark).await?;
        Ok(applier.into_machine())
    }

    fn check(&self, new_cluster: &NewCluster, loss_accepted_of: StoreId) -> Result<(), StartError> {
        if loss_accepted_of != self.store {
            let store = self.store;
            let problem = format!("what may be lost was not accepted for its disk, which is store {store}");
            return Err(refuse(self.node, problem));
        }
        if new_cluster.name == self.cluster.as_str() {
            let problem = "the new cluster needs another name than the old one: by that its members tell those of \
                           the old one apart, should they come back";
            return Err(refuse(self.node, problem.to_owned()));
        }
        if self.last == Index::ZERO {
            return Err(refuse(
                self.node,
                "it holds no entry; found a cluster as on the first day".to_owned(),
            ));
        }
        Ok(())
    }

    /// The old members' addresses. Their disks are not those of the new ones.
    fn addresses(&self) -> Membership {
        let members = self.membership.clone();
        let forgotten = |members: Membership, node: NodeId| {
            members.clone().with_store(node, StoreId::default()).unwrap_or(members)
        };
        self.membership.members().fold(members, forgotten)
    }

    /// The state machine as of the last entry.
    async fn state<S: StateMachine>(&self, machine: S) -> Result<Applier<S>, StartError> {
        let problem = |failure: consensus_api::Failure| refuse(self.node, failure.0);
        check_own(self.node, machine.applied(), self.last)?;
        let mut applier = Applier::new(machine, self.membership.clone());
        if let Some(mark) = &self.snapshot {
            restore(&mut applier, &*self.log.snapshots(), mark).map_err(problem)?;
        }
        let reader = self.log.reader();
        while applier.applied() < self.last {
            let range = applier.applied().next()..self.last.next();
            let entries = reader.read(range, READ_BYTES).await?;
            if entries.is_empty() {
                let missing = applier.applied().next();
                return Err(refuse(self.node, format!("entry {missing} is gone from it")));
            }
            for entry in entries {
                applier.apply(&entry, |_| ()).map_err(problem)?;
            }
        }
        Ok(applier)
    }
}

/// The last entry behind the snapshot before the first gap, and its generation.
fn end<E: Engine>(outline: &Outline, snapshot: Option<&SnapshotMark>) -> (Index, Generation) {
    let mark = snapshot.cloned().unwrap_or_default();
    // The node stopped before it could say what a newer snapshot makes of the log: another history is no part of it.
    let goes_on = E::CAPABILITIES.holes
        || mark.index == Index::ZERO
        || outline.generation_at(mark.index) == Some(mark.generation);
    let last = if goes_on { outline.first_hole(mark.index.next()).prev() } else { mark.index };
    (last, outline.generation_at(last).unwrap_or(mark.generation))
}

fn name_of(cluster: &str) -> Result<ClusterName, StartError> {
    ClusterName::new(cluster).ok_or_else(|| StartError::ClusterName { name: cluster.to_owned() })
}

impl<E: Engine, L> fmt::Display for Survivor<E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, node, store, committed, last, generation, .. } = self;
        let voters = self.membership.voters().iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
        writeln!(f, "node {node} of cluster {cluster} (engine {}, store {store})", E::NAME)?;
        writeln!(f, "holds every entry up to {last}, the last of generation {generation}")?;
        writeln!(f, "knows to be committed: every entry up to {committed}; voters: {voters}")?;
        writeln!(f, "If a cluster is founded from it alone:")?;
        writeln!(
            f,
            "* every write that was answered and is not among these entries is lost, and nobody can"
        )?;
        writeln!(
            f,
            "  tell how many there are; a client that repeats one in its session carries it out anew;"
        )?;
        if committed < last {
            writeln!(
                f,
                "* entries {} to {last} take effect, though some may never have been",
                committed.next()
            )?;
            writeln!(f, "  answered, or were replaced by others on the disks that are lost;")?;
        }
        writeln!(
            f,
            "* the other members of {cluster} must never run again: the new cluster refuses them, but"
        )?;
        write!(f, "  a majority of them would go on serving whoever asks them, beside the new cluster.")
    }
}
