//! openraft 0.10 with the least around it: a log in a deque, a state machine that counts, function calls for a network,
//! appends as one pipelined stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use openraft10::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft10::base::{BoxFuture, BoxStream};
use openraft10::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft10::network::RPCOption;
use openraft10::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest,
    VoteResponse,
};
use openraft10::storage::{EntryResponder, IOFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft10::{
    BasicNode, Config, EntryPayload, OptionalSend, Raft, RaftLogReader, RaftNetworkFactory, RaftNetworkV2,
    RaftSnapshotBuilder, SnapshotPolicy,
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

impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self, f)
    }
}

openraft10::declare_raft_types!(
    /// The types of this cluster.
    pub Types:
        D = Command,
        R = (),
        Node = BasicNode,
);

type LogId = LogIdOf<Types>;
type Node = Raft<Types, Sink>;

#[derive(Default)]
struct Kept {
    vote: Option<VoteOf<Types>>,
    purged: Option<LogId>,
    first: u64,
    entries: VecDeque<EntryOf<Types>>,
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
    ) -> io::Result<Vec<EntryOf<Types>>> {
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

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(self.with(|log| log.vote))
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(self.with(|log| LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.entries.back().map(|entry| entry.log_id).or(log.purged),
        }))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> io::Result<()> {
        self.with(|log| log.vote = Some(*vote));
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.with(|log| log.entries.extend(entries));
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.with(|log| {
            let keep = last.map_or(0, |last| (last.index + 1).saturating_sub(log.first) as usize);
            log.entries.truncate(keep);
        });
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
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
pub struct Sink {
    count: u64,
    applied: Option<LogId>,
    membership: StoredMembershipOf<Types>,
}

fn no_snapshots() -> io::Error {
    io::Error::other("this cluster takes no snapshots")
}

impl RaftSnapshotBuilder<Types> for Sink {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, ()>> {
        Err(no_snapshots())
    }
}

impl RaftStateMachine<Types> for Sink {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembershipOf<Types>)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Normal(_) => self.count += 1,
                EntryPayload::Membership(it) => {
                    self.membership = StoredMembershipOf::<Types>::new(self.applied, it)
                }
                EntryPayload::Blank => {}
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMetaOf<Types>, _snapshot: ()) -> io::Result<()> {
        Err(no_snapshots())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, ()>>> {
        Ok(None)
    }
}

/// Everybody, by id; filled in once all are started.
type Directory = Arc<OnceLock<BTreeMap<u64, Node>>>;

/// Makes [`Link`]s.
struct Calls(Directory);

/// Calls the other node as a function.
struct Link {
    target: u64,
    nodes: Directory,
}

type Rpc<T> = Result<T, RPCError<Types>>;

fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(error))
}

impl Link {
    fn node(&self) -> Rpc<&Node> {
        let not_yet = || unreachable(&io::Error::other("not started yet"));
        self.nodes.get().and_then(|nodes| nodes.get(&self.target)).ok_or_else(not_yet)
    }
}

impl RaftNetworkFactory<Types> for Calls {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Link {
        Link { target, nodes: self.0.clone() }
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        self.node()?.append_entries(rpc).await.map_err(|error| unreachable(&error))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let answers = self.node()?.stream_append(input);
            let answers = answers.map(|answer| answer.map_err(|error| unreachable(&error)));
            Ok(Box::pin(answers) as BoxStream<'s, _>)
        })
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, _option: RPCOption) -> Rpc<VoteResponse<Types>> {
        self.node()?.vote(rpc).await.map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        _vote: VoteOf<Types>,
        _snapshot: SnapshotOf<Types, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(StreamingError::Unreachable(Unreachable::new(&no_snapshots())))
    }
}

/// Three nodes, and the handle of the one that leads.
#[derive(Clone)]
pub struct Nodes {
    all: Arc<BTreeMap<u64, Node>>,
    leader: Node,
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
            let commands = std::iter::repeat_n(Command(command), count);
            let mut answers = leader.client_write_many(commands).await?;
            while let Some(answer) = answers.try_next().await? {
                answer?;
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
