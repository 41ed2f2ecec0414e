//! omnipaxos with its own memory storage.

use bytes::Bytes;
use omnipaxos::messages::Message;
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;

use crate::load::Failure;

/// A command: bytes that are shared, not copied.
#[derive(Clone, Debug)]
pub struct Command(#[allow(dead_code, reason = "it only has to be carried")] Bytes);

impl Entry for Command {
    type Snapshot = NoSnapshot;
}

/// Three nodes. With `BATCHED`, as many commands as are in flight leave together.
pub struct Trio<const BATCHED: bool> {
    nodes: Vec<OmniPaxos<Command, MemoryStorage<Command>>>,
    messages: Vec<Message<Command>>,
    leader: usize,
}

impl<const BATCHED: bool> super::Trio for Trio<BATCHED> {
    fn start(in_flight: usize) -> Result<Self, Failure> {
        let node = |pid: u64| {
            let cluster_config =
                ClusterConfig { configuration_id: 1, nodes: vec![1, 2, 3], ..ClusterConfig::default() };
            let server_config = ServerConfig {
                pid,
                batch_size: if BATCHED { in_flight } else { 1 },
                ..ServerConfig::default()
            };
            OmniPaxosConfig { cluster_config, server_config }.build(MemoryStorage::default())
        };
        let nodes: Result<Vec<_>, _> = (1..=3).map(node).collect();
        let mut trio =
            Self { nodes: nodes.map_err(|error| format!("{error:?}"))?, messages: Vec::new(), leader: 0 };
        for _ in 0..1000 {
            trio.nodes.iter_mut().for_each(OmniPaxos::tick);
            trio.settle();
            if let Some((leader, true)) = trio.nodes[0].get_current_leader() {
                trio.leader = leader as usize - 1;
                return Ok(trio);
            }
        }
        Err("nobody came to lead".into())
    }

    fn round(&mut self, command: &Bytes, count: usize) -> Result<(), Failure> {
        for _ in 0..count {
            let appended = self.nodes[self.leader].append(Command(command.clone()));
            appended.map_err(|error| format!("{error:?}"))?;
        }
        self.settle();
        Ok(())
    }

    fn committed(&self) -> u64 {
        self.nodes[self.leader].get_decided_idx() as u64
    }
}

impl<const BATCHED: bool> Trio<BATCHED> {
    fn settle(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        loop {
            self.nodes.iter_mut().for_each(|node| node.take_outgoing_messages(&mut messages));
            if messages.is_empty() {
                break;
            }
            for message in messages.drain(..) {
                self.nodes[message.get_receiver() as usize - 1].handle_incoming(message);
            }
        }
        self.messages = messages;
    }
}
