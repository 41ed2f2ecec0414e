//! [`change_engine`]: how a cluster's data goes from one engine to another: through a snapshot, while no node runs.

use std::future::poll_fn;

use consensus_api::{
    Batch, ClusterName, Engine, EngineName, Generation, Identity, Incarnation, Index, LogStorage, Membership,
    NodeId, Op, Outline, SNAPSHOT_CHUNK_BYTES_MAX, SnapshotMark, StartError, StoreId, WriteSeq,
};

/// Begins the log of `node`, which is new, for the engine `New`, with the newest snapshot in the log of `exporter`, which
/// the engine `Old` has written. The old log is only read. Returns the last entry covered.
///
/// What the old log holds beyond that snapshot is left behind: see `docs/changing-engines.md` for how to make sure that
/// there is nothing. All members of the new cluster begin with the same snapshot; members, sessions, log time and the
/// numbers of entries go on.
///
/// # Errors
/// [`StartError`] when a log is another's or cannot be read or written, when there is no snapshot, when a change of members
/// was under way, or when the new log is not empty.
pub async fn change_engine<Old: Engine, New: Engine>(
    cluster: &str,
    (exporter, mut old): (NodeId, impl LogStorage),
    (node, mut new): (NodeId, impl LogStorage),
) -> Result<Index, StartError> {
    let cluster = ClusterName::new(cluster).ok_or(StartError::ClusterName { name: cluster.to_owned() })?;
    let refuse = |node, problem: &str| refuse(node, problem.to_owned());
    old.attach(&identity(&cluster, exporter, Old::NAME))?;
    let Some(snapshot) = old.snapshots().latest().await? else {
        return Err(refuse(exporter, "it holds no snapshot to take along; run it until it has taken one"));
    };
    let membership = stay(snapshot.mark())
        .ok_or_else(|| refuse(exporter, "a change of members is under way; let it end first"))?;
    attach_empty::<New>(&cluster, node, &mut new)?;
    // No leadership of the new engine has been before it.
    let mark = SnapshotMark { index: snapshot.mark().index, generation: Generation::ZERO, membership };
    let mut copy = new.snapshots().begin(&mark).await?;
    while copy.len() < snapshot.len() {
        copy.append(snapshot.read_at(copy.len(), SNAPSHOT_CHUNK_BYTES_MAX).await?).await?;
    }
    copy.finish().await?;
    begin_with(&mut new, mark).await
}

/// Makes a log that must be new the log of `node`.
pub(crate) fn attach_empty<E: Engine>(
    cluster: &ClusterName,
    node: NodeId,
    new: &mut impl LogStorage,
) -> Result<(), StartError> {
    if new.attach(&identity(cluster, node, E::NAME))?.outline == Outline::default() {
        return Ok(());
    }
    Err(refuse(node, "it is not empty; choose an empty folder".to_owned()))
}

/// Begins a new log behind a snapshot that is there. Returns the last entry covered.
pub(crate) async fn begin_with(new: &mut impl LogStorage, mark: SnapshotMark) -> Result<Index, StartError> {
    let (upto, generation) = (mark.index, mark.generation);
    let batch: Batch = [Op::SnapshotMark(mark), Op::Compact { upto, generation }].into_iter().collect();
    new.submit(WriteSeq(1), batch)?;
    while poll_fn(|cx| new.poll_durable(cx)).await? < WriteSeq(1) {}
    Ok(upto)
}

pub(crate) fn refuse(node: NodeId, problem: String) -> StartError {
    StartError::Log { node, problem }
}

/// The same members at the same addresses. Their stores are new. `None` while a change is under way.
fn stay(mark: &SnapshotMark) -> Option<Membership> {
    let old = &mark.membership;
    let is_over = !old.is_joint() || old.begins_at().is_some_and(|first| first <= mark.index.next());
    let old = old.clone().without_outgoing();
    let none = std::iter::empty;
    let new = Membership::new(old.voters().iter().copied(), none(), old.learners().iter().copied()).ok()?;
    let addressed = old.members().try_fold(new, |new, member| match old.address(member) {
        Some(address) => new.with_address(member, address).ok(),
        None => Some(new),
    });
    addressed.filter(|_| is_over)
}

/// A node of a cluster, before its log is open.
pub(crate) fn identity(cluster: &ClusterName, node: NodeId, engine: EngineName) -> Identity {
    let (store, incarnation) = (StoreId::default(), Incarnation::default());
    Identity { cluster: cluster.clone(), node, engine, store, incarnation }
}
