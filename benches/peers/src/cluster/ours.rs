//! quorate, on either engine: `local` nodes with the state machine applied inline.

use std::future::Future;

use bytes::Bytes;
use quorate::{
    Applied, ApplyOn, Engine, MultiPaxos, Node, Options, Payload, Raft, Raw, StateMachine, local,
    snapshot_with_serde,
};
use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::load::Failure;

/// Counts commands, and keeps none.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Sink(u64);

impl StateMachine for Sink {
    type Command = Raw;
    type Response = ();

    fn apply(&mut self, _at: Applied, _command: Raw) {
        self.0 += 1;
    }

    snapshot_with_serde!();
}

/// Three nodes and which of them leads.
#[derive(Clone)]
pub struct Nodes {
    all: [Node<Sink>; 3],
    leader: usize,
}

impl Nodes {
    async fn start<E: Engine>() -> Result<Self, Failure> {
        let options = Options { apply_on: ApplyOn::Inline, ..Options::default() };
        let all = local::cluster_with::<E, _, 3>(Sink::default, &options)?;
        let leader = all[0].leader().await?;
        let leader = all.iter().position(|node| node.id() == leader).ok_or("the leader is one of them")?;
        all[leader].propose(raw(Bytes::from_static(b"first"))?).await?;
        Ok(Self { all, leader })
    }

    fn write(&self, command: Bytes) -> impl Future<Output = Result<(), Failure>> + 'static {
        let written = raw(command).map(|command| self.all[self.leader].propose(command));
        async move { Ok(written?.await?) }
    }

    fn write_many(
        &self,
        command: Bytes,
        count: usize,
    ) -> impl Future<Output = Result<(), Failure>> + 'static {
        let commands = raw(command).map(|command| std::iter::repeat_n(command, count));
        let written = commands.map(|commands| self.all[self.leader].propose_batch(commands));
        async move {
            written?.await?;
            Ok(())
        }
    }

    async fn stop(self) {
        for node in self.all {
            node.shutdown().await;
        }
    }
}

fn raw(command: Bytes) -> Result<Raw, Failure> {
    Ok(Raw::decode(command)?)
}

macro_rules! on_engine {
    ($(#[$doc:meta])* $name:ident, $engine:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Nodes);

        impl Cluster for $name {
            async fn start() -> Result<Self, Failure> {
                Nodes::start::<$engine>().await.map(Self)
            }

            fn write(&self, command: Bytes) -> impl Future<Output = Result<(), Failure>> + 'static {
                self.0.write(command)
            }

            fn write_many(
                &self,
                command: Bytes,
                count: usize,
            ) -> impl Future<Output = Result<(), Failure>> + 'static {
                self.0.write_many(command, count)
            }

            async fn stop(self) {
                self.0.stop().await;
            }
        }
    };
}

on_engine!(
    /// On Raft.
    RaftNodes, Raft
);
on_engine!(
    /// On Multi-Paxos.
    PaxosNodes, MultiPaxos
);
