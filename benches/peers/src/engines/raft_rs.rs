//! raft-rs, three ways to hand it commands.

use std::collections::VecDeque;

use bytes::Bytes;
use raft_rs::eraftpb::{ConfState, Entry, Message, MessageType};
use raft_rs::storage::MemStorage;
use raft_rs::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};

use crate::load::Failure;

/// Every command is proposed and replicated by itself.
pub const PROPOSE: u8 = 0;
/// As before, but appends that queue are joined.
pub const BATCH_APPEND: u8 = 1;
/// All commands come in one message.
pub const ONE_MESSAGE: u8 = 2;

/// Three nodes.
pub struct Trio<const MODE: u8> {
    nodes: Vec<RawNode<MemStorage>>,
    messages: VecDeque<Message>,
    leader: usize,
    committed: u64,
}

impl<const MODE: u8> super::Trio for Trio<MODE> {
    fn start(_in_flight: usize) -> Result<Self, Failure> {
        let node = |id| {
            let config = Config {
                id,
                election_tick: 10,
                heartbeat_tick: 1,
                max_size_per_msg: 1 << 20,
                max_inflight_msgs: 4096,
                batch_append: MODE != PROPOSE,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state(ConfState::from((vec![1, 2, 3], vec![])));
            RawNode::new(&config, storage, &Logger::root(Discard, o!()))
        };
        let nodes: Result<Vec<_>, _> = (1..=3).map(node).collect();
        let mut trio = Self { nodes: nodes?, messages: VecDeque::new(), leader: 0, committed: 0 };
        trio.nodes[0].campaign()?;
        trio.settle()?;
        if trio.nodes[0].raft.state != StateRole::Leader {
            return Err("node 1 should lead".into());
        }
        Ok(trio)
    }

    fn round(&mut self, command: &Bytes, count: usize) -> Result<(), Failure> {
        let (messages, each) = if MODE == ONE_MESSAGE { (1, count) } else { (count, 1) };
        for _ in 0..messages {
            let entry = || Entry { data: command.clone(), ..Entry::default() };
            let mut message = Message { from: 1, ..Message::default() };
            message.set_msg_type(MessageType::MsgPropose);
            message.set_entries((0..each).map(|_| entry()).collect::<Vec<_>>().into());
            self.nodes[self.leader].raft.step(message)?;
        }
        self.settle()
    }

    fn committed(&self) -> u64 {
        self.committed
    }
}

impl<const MODE: u8> Trio<MODE> {
    fn settle(&mut self) -> Result<(), Failure> {
        loop {
            let mut quiet = true;
            for node in 0..3 {
                while self.nodes[node].has_ready() {
                    quiet = false;
                    self.ready(node)?;
                }
            }
            while let Some(message) = self.messages.pop_front() {
                quiet = false;
                self.nodes[message.to as usize - 1].step(message)?;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn ready(&mut self, at: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[at];
        let mut ready = node.ready();
        self.messages.extend(ready.take_messages());
        let counts = |entries: Vec<Entry>| entries.iter().filter(|entry| !entry.data.is_empty()).count();
        let mut applied = counts(ready.take_committed_entries());
        {
            let mut store = node.raft.raft_log.store.wl();
            if !ready.entries().is_empty() {
                store.append(ready.entries())?;
            }
            if let Some(state) = ready.hs() {
                store.set_hardstate(state.clone());
            }
        }
        self.messages.extend(ready.take_persisted_messages());
        let mut light = node.advance(ready);
        if let Some(commit) = light.commit_index() {
            node.raft.raft_log.store.wl().mut_hard_state().set_commit(commit);
        }
        self.messages.extend(light.take_messages());
        applied += counts(light.take_committed_entries());
        node.advance_apply();
        if at == self.leader {
            self.committed += applied as u64;
        }
        Ok(())
    }
}
