//! openraft 0.9 with the least around it: a log in a deque, a state machine that counts, function calls for a network.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::future::Future;
use std::io::Cursor;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use openraft09::error::{
    ClientWriteError, InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft09::network::RPCOption;
use openraft09::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft09::storage::{LogFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft09::{
    BasicNode, Config, Entry, EntryPayload, LogId, OptionalSend, Raft, RaftLogReader, RaftNetwork,
    RaftNetworkFactory, RaftSnapshotBuilder, Snapshot, SnapshotMeta, SnapshotPolicy, StorageError,
    StorageIOError, StoredMembership, Vote,
};

use super::Cluster;
use crate::load::Failure;

/// A command: bytes that are shared, not copied.
#[derive(Clone)]
pub struct Command(Bytes);

impl Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

openraft09::declare_raft_types!(
    /// The types of this cluster.
    pub Types:
        D = Command,
        R = (),
        Node = BasicNode,
        SnapshotData = Cursor<Vec<u8>>,
);

type Io<T> = Result<T, StorageError<u64>>;

#[derive(Default)]
struct Kept {
    vote: Option<Vote<u64>>,
    purged: Option<LogId<u64>>,
    first: u64,
    entries: VecDeque<Entry<Types>>,
}

/// The log of one node.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Kept>>);

impl Log {
    fn with<T>(&self, what: impl FnOnce(&mut Kept) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Io<Vec<Entry<Types>>> {
        Ok(self.with(|log| {
            let place = |index: u64| (index.saturating_sub(log.first) as usize).min(log.entries.len());
            let begin = match range.start_bound() {
                Bound::Included(index) => place(*index),
                Bound::Excluded(index) => place(*index + 1),
                Bound::Unbounded => 0,
            };
            let end = match range.end_bound() {
                Bound::Included(index) => place(*index + 1),
                Bound::Excluded(index) => place(*index),
                Bound::Unbounded => log.entries.len(),
            };
            log.entries.range(begin..end.max(begin)).cloned().collect()
        }))
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Io<LogState<Types>> {
        Ok(self.with(|log| LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.entries.back().map(|entry| entry.log_id).or(log.purged),
        }))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Io<()> {
        self.with(|log| log.vote = Some(*vote));
        Ok(())
    }

    async fn read_vote(&mut self) -> Io<Option<Vote<u64>>> {
        Ok(self.with(|log| log.vote))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Io<()>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.with(|log| log.entries.extend(entries));
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId<u64>) -> Io<()> {
        self.with(|log| log.entries.truncate(from.index.saturating_sub(log.first) as usize));
        Ok(())
    }

    async fn purge(&mut self, upto: LogId<u64>) -> Io<()> {
        self.with(|log| {
            let count = ((upto.index + 1).saturating_sub(log.first) as usize).min(log.entries.len());
            log.entries.drain(..count);
            log.first = upto.index + 1;
            log.purged = Some(upto);
        });
        Ok(())
    }
}

/// Counts commands, and keeps none.
#[derive(Clone, Default)]
struct Sink {
    count: u64,
    applied: Option<LogId<u64>>,
    membership: StoredMembership<u64, BasicNode>,
}

fn no_snapshots<T>() -> Io<T> {
    Err(StorageIOError::read_snapshot(None, &std::io::Error::other("this cluster takes no snapshots")).into())
}

impl RaftSnapshotBuilder<Types> for Sink {
    async fn build_snapshot(&mut self) -> Io<Snapshot<Types>> {
        no_snapshots()
    }
}

impl RaftStateMachine<Types> for Sink {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Io<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Io<Vec<()>>
    where
        I: IntoIterator<Item = Entry<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut answers = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Normal(_) => self.count += 1,
                EntryPayload::Membership(it) => self.membership = StoredMembership::new(self.applied, it),
                EntryPayload::Blank => {}
            }
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Io<Box<Cursor<Vec<u8>>>> {
        no_snapshots()
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, BasicNode>,
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Io<()> {
        no_snapshots()
    }

    async fn get_current_snapshot(&mut self) -> Io<Option<Snapshot<Types>>> {
        Ok(None)
    }
}

/// Everybody, by id; filled in once all are started.
type Directory = Arc<OnceLock<BTreeMap<u64, Raft<Types>>>>;

/// Makes [`Link`]s.
struct Calls(Directory);

/// Calls the other node as a function.
struct Link {
    target: u64,
    nodes: Directory,
}

type Rpc<T, E> = Result<T, RPCError<u64, BasicNode, E>>;

impl Link {
    fn node<E: std::error::Error>(&self) -> Rpc<&Raft<Types>, E> {
        let not_yet = || RPCError::Unreachable(Unreachable::new(&std::io::Error::other("not started yet")));
        self.nodes.get().and_then(|nodes| nodes.get(&self.target)).ok_or_else(not_yet)
    }

    fn remote<E: std::error::Error>(&self, error: E) -> RPCError<u64, BasicNode, E> {
        RPCError::RemoteError(RemoteError::new(self.target, error))
    }
}

impl RaftNetworkFactory<Types> for Calls {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Link {
        Link { target, nodes: self.0.clone() }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<u64>, RaftError<u64>> {
        self.node()?.append_entries(rpc).await.map_err(|error| self.remote(error))
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Rpc<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        self.node()?.install_snapshot(rpc).await.map_err(|error| self.remote(error))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Rpc<VoteResponse<u64>, RaftError<u64>> {
        self.node()?.vote(rpc).await.map_err(|error| self.remote(error))
    }
}

/// Three nodes, and the handle of the one that leads.
#[derive(Clone)]
pub struct Nodes {
    all: Arc<BTreeMap<u64, Raft<Types>>>,
    leader: Raft<Types>,
}

impl Cluster for Nodes {
    async fn start() -> Result<Self, Failure> {
        let config = Config {
            heartbeat_interval: 100,
            election_timeout_min: 1000,
            election_timeout_max: 2000,
            max_payload_entries: 4096,
            snapshot_policy: SnapshotPolicy::Never,
            ..Config::default()
        };
        let config = Arc::new(config.validate()?);
        let directory = Directory::default();
        let mut all = BTreeMap::new();
        for id in 1..=3 {
            let calls = Calls(directory.clone());
            all.insert(id, Raft::new(id, config.clone(), calls, Log::default(), Sink::default()).await?);
        }
        directory.set(all.clone()).map_err(|_| "set once")?;
        let members: BTreeMap<u64, BasicNode> = (1..=3).map(|id| (id, BasicNode::default())).collect();
        all[&1].initialize(members).await?;
        all[&1].wait(None).metrics(|metrics| metrics.current_leader.is_some(), "a leader").await?;
        let leader = all[&1].current_leader().await.ok_or("there is a leader")?;
        let nodes = Self { leader: all[&leader].clone(), all: Arc::new(all) };
        nodes.write(Bytes::from_static(b"first")).await?;
        Ok(nodes)
    }

    fn write(&self, command: Bytes) -> impl Future<Output = Result<(), Failure>> + 'static {
        let leader = self.leader.clone();
        async move { Ok(leader.client_write(Command(command)).await.map(drop)?) }
    }

    fn write_many(
        &self,
        command: Bytes,
        count: usize,
    ) -> impl Future<Output = Result<(), Failure>> + 'static {
        let leader = self.leader.clone();
        async move {
            let mut answers = Vec::with_capacity(count);
            for _ in 0..count {
                answers.push(leader.client_write_ff(Command(command.clone())).await?);
            }
            for answer in answers {
                answer.await?.map_err(|error: ClientWriteError<u64, BasicNode>| error.to_string())?;
            }
            Ok(())
        }
    }

    async fn stop(self) {
        for node in self.all.values() {
            let _ = node.shutdown().await;
        }
    }
}
