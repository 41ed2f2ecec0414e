//! [`Member`]: a node as a process of its own, which takes orders on its standard input.

use std::error::Error;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate::{
    Applied, ApplyOn, FileLog, Node, NodeId, Options, Payload, Raw, StateMachine, Tcp, snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Counts commands, and keeps none.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Sink(u64);

impl StateMachine for Sink {
    type Command = Raw;
    type Response = u64;

    fn apply(&mut self, _at: Applied, _command: Raw) -> u64 {
        self.0 += 1;
        self.0
    }

    snapshot_with_serde!();
}

/// The process, as the one that measures sees it.
pub(crate) struct Member {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Member {
    pub(crate) fn start(
        id: u64,
        folder: &Path,
        peers: &[(u64, impl Display)],
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--member", &id.to_string()]).arg(folder);
        command.args(peers.iter().map(|(peer, address)| format!("{peer}={address}")));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("its input is piped")?;
        let answers = BufReader::new(process.stdout.take().ok_or("its output is piped")?);
        Ok(Self { process, orders, answers })
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    fn ask(&mut self, order: &str) -> Result<String, Box<dyn Error>> {
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Who leads, and in which generation.
    pub(crate) fn leader(&mut self) -> Result<(u64, String), Box<dyn Error>> {
        let answer = self.ask("leader")?;
        let (leader, generation) = answer.split_once(' ').ok_or("it ends without an answer")?;
        Ok((leader.parse()?, generation.to_owned()))
    }

    /// Writes per second that it takes from so many clients.
    pub(crate) fn load(&mut self, clients: usize, seconds: u64) -> Result<f64, Box<dyn Error>> {
        Ok(self.ask(&format!("load {clients} {seconds}"))?.parse()?)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// The process itself: `ID FOLDER ID=ADDRESS...`.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [id, folder, peers @ ..] = arguments else { return Err("too few arguments".into()) };
    let id: u64 = id.parse()?;
    let peers: Vec<(u64, &str)> = peers
        .iter()
        .filter_map(|peer| peer.split_once('='))
        .map(|(peer, address)| Ok::<_, std::num::ParseIntError>((peer.parse()?, address)))
        .collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let members: Vec<NodeId> = peers.iter().map(|(peer, _)| NodeId(*peer)).collect();
        let node: Node<Sink> = Node::builder("troubled", id, members, Sink::default())
            .storage(FileLog::open(folder)?)
            .transport(Tcp::bind(id, peers).await?)
            .options(Options { apply_on: ApplyOn::Inline, ..Options::default() })
            .start()?;
        let (order, mut orders) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            stdin().lines().map_while(Result::ok).try_for_each(|line| order.send(line))
        });
        while let Some(line) = orders.recv().await {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["load", clients, seconds] = words[..] {
                println!("{}", load(&node, clients.parse()?, seconds.parse()?).await?);
            } else {
                let leader = leader(&node).await;
                println!("{leader} {}", node.status().generation);
            }
        }
        Ok(())
    })
}

async fn leader(node: &Node<Sink>) -> NodeId {
    loop {
        match node.leader().await {
            Ok(leader) => return leader,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Closed-loop clients for a while: each writes again as soon as it is answered.
async fn load(node: &Node<Sink>, clients: usize, seconds: u64) -> Result<f64, Box<dyn Error>> {
    let payload = Raw::decode(vec![7; 256].into())?;
    let done = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    let client = |_| {
        let (node, payload, done) = (node.clone(), payload.clone(), done.clone());
        tokio::spawn(async move {
            while Instant::now() < end {
                if node.propose(payload.clone()).await.is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    for client in (0..clients).map(client).collect::<Vec<_>>() {
        client.await?;
    }
    #[allow(clippy::cast_precision_loss)] // a rate, for people
    Ok(done.load(Ordering::Relaxed) as f64 / seconds as f64)
}
