//! The processes of this benchmark: members, and scales that tell what a state takes in memory.

use std::error::Error;
use std::fs::File;
use std::io::stdin;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use quorate::{
    Applied, CompactionPolicy, FileLog, Index, LogTime, Node, NodeId, Options, Raft, ReadLevel, Snapshot,
    StateMachine, Tcp, TcpOptions,
};
use tokio::time::sleep;

use crate::Failure;
use crate::command::Command;
use crate::load::Load;
use crate::member::memory;
use crate::state::State;
use crate::store::Store;

/// Commands under way at once while the state is filled in.
const FILLING: usize = 16;
const PAUSE: Duration = Duration::from_millis(20);

/// Runs one of them.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["put", state, into] => put(state.parse()?, Path::new(into)),
        ["weigh", from] => weigh(Path::new(from)),
        ["member", id, folder, rate, entries, how, ref peers @ ..] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let policy = CompactionPolicy {
                    snapshot_every_bytes: u64::MAX,
                    snapshot_every_entries: entries.parse()?,
                    keep_bytes: 1 << 20,
                };
                let node = start(id.parse()?, Path::new(folder), rate.parse()?, policy, how, peers).await?;
                Orders { node, load: None }.take().await
            })
        }
        _ => Err("no such process".into()),
    }
}

/// Puts the state into a file, as a snapshot of the store.
fn put(state: State, into: &Path) -> Result<(), Failure> {
    let mut store = Store::default();
    for command in state.commands() {
        store.apply(Applied { index: Index(1), offset: 0, time: LogTime(1) }, command);
    }
    store.snapshot().write_to(&mut File::create(into)?)?;
    println!("ok done");
    Ok(())
}

/// Tells what the state in that file takes in memory.
fn weigh(from: &Path) -> Result<(), Failure> {
    let (process, mut store) = (std::process::id(), Store::default());
    let before = memory(process, "VmRSS:")?;
    store.restore(&mut File::open(from)?)?;
    println!("ok {}", memory(process, "VmRSS:")?.saturating_sub(before));
    stdin().lines().map_while(Result::ok).last();
    drop(store);
    Ok(())
}

/// Starts a node with the options of `examples/kv`, but for when it takes snapshots and how fast it sends them.
async fn start(
    id: u64,
    folder: &Path,
    rate: u64,
    compaction: CompactionPolicy,
    how: &str,
    peers: &[&str],
) -> Result<Node<Store>, Failure> {
    let peers: Vec<(u64, &str)> = peers
        .iter()
        .filter_map(|peer| peer.split_once('='))
        .map(|(peer, address)| Ok::<_, Failure>((peer.parse()?, address)))
        .collect::<Result<_, _>>()?;
    let address = peers.iter().find(|(peer, _)| *peer == id).ok_or("it has no address")?.1;
    let tcp = TcpOptions { bulk_bytes_per_second_max: (rate > 0).then_some(rate), ..TcpOptions::default() };
    let members: Vec<NodeId> = peers.iter().map(|(peer, _)| NodeId(*peer)).collect();
    let transport = Tcp::listen(address).await?.with_peers(id, peers).with_options(tcp);
    let builder = Node::<Store>::builder("snapshot", id, members, Store::default())
        .storage(FileLog::open(folder)?)
        .transport(transport)
        .engine::<Raft>()
        .options(Options { compaction, ..Options::default() });
    let builder = if how == "join" { builder.join() } else { builder };
    Ok(builder.start()?)
}

/// A member that takes orders.
struct Orders {
    node: Node<Store>,
    load: Option<Load>,
}

impl Orders {
    async fn take(mut self) -> Result<(), Failure> {
        println!("ok started");
        let (order, mut orders) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            stdin().lines().map_while(Result::ok).try_for_each(|line| order.send(line))
        });
        while let Some(line) = orders.recv().await {
            let words: Vec<&str> = line.split(' ').collect();
            println!("ok {}", self.carry_out(&words).await?);
        }
        Ok(())
    }

    async fn carry_out(&mut self, words: &[&str]) -> Result<String, Failure> {
        let status = self.node.status();
        Ok(match *words {
            ["lead"] => {
                while self.node.leader().await? != self.node.id() {
                    let _ = self.node.transfer_leadership(Some(self.node.id())).await;
                    sleep(PAUSE).await;
                }
                "led".to_owned()
            }
            ["fill", state] => {
                self.fill(state.parse()?).await;
                "filled".to_owned()
            }
            ["charge", entries] => {
                self.charge(entries.parse()?).await;
                "charged".to_owned()
            }
            ["load", per_second, state] => {
                self.load = Some(Load::begin(self.node.clone(), per_second.parse()?, state.parse()?)?);
                "begun".to_owned()
            }
            ["lap"] => self.load.as_ref().map_or(0.0, Load::lap).to_string(),
            ["written"] => self.load.as_ref().map_or(0, Load::written).to_string(),
            ["end"] => self.load.take().ok_or("there is no load")?.end().await?.to_string(),
            ["add", id, address] => {
                self.node.add_learner(id.parse::<u64>()?, address).await?;
                "added".to_owned()
            }
            ["remove", id] => {
                self.node.remove(id.parse::<u64>()?).await?;
                "removed".to_owned()
            }
            ["snapshot"] => status.snapshot.0.to_string(),
            ["generation"] => status.generation.to_string(),
            ["keys", index] => self.keys(Index(index.parse()?)).await?.to_string(),
            _ => return Err("no such order".into()),
        })
    }

    /// Brings the state about.
    async fn fill(&self, state: State) {
        let mut commands = state.commands();
        loop {
            let some: Vec<Command> = commands.by_ref().take(FILLING).collect();
            if some.is_empty() {
                return;
            }
            join_all(some.into_iter().map(|command| self.propose(command))).await;
        }
    }

    /// Writes entries that change nothing, until so many have come since the last snapshot.
    async fn charge(&self, entries: u64) {
        loop {
            let status = self.node.status();
            let came = status.applied.0.saturating_sub(status.snapshot.0);
            if came >= entries {
                return;
            }
            for _ in came..entries {
                self.propose(Command::Delete(Vec::new())).await;
            }
        }
    }

    /// Proposes what may as well happen twice, until it has happened: the disk may be slow.
    async fn propose(&self, command: Command) {
        while self.node.propose(command.clone()).await.is_err_and(|_| self.node.status().stopped.is_none()) {
            sleep(PAUSE).await;
        }
    }

    /// How many keys it holds, once it has come to that entry.
    async fn keys(&self, index: Index) -> Result<usize, Box<dyn Error>> {
        loop {
            match self.node.read_at(ReadLevel::AtLeast(index), |store| store.keys.len()).await {
                Ok(keys) => return Ok(keys),
                Err(error) if self.node.status().stopped.is_some() => return Err(error.into()),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}
