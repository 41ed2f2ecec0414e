//! [`Unnamed`]: the engine of a node for which none is named.

use node::{Builder, Choice};

#[cfg(feature = "multi-paxos")]
use crate::MultiPaxos;
#[cfg(feature = "paxos")]
use crate::Paxos;
#[cfg(feature = "raft")]
use crate::Raft;
use crate::{DefaultEngine, Engine, LogStorage, StartError, StateMachine, Transport};

/// The engine of a node for which none is named: the one whose log is there; where there is none yet, [`DefaultEngine`].
///
/// Cargo unites the features of all that a program links. One that enables another engine therefore never keeps a node
/// from its log.
#[derive(Clone, Copy, Debug)]
pub struct Unnamed;

impl Choice for Unnamed {
    fn start<S, D, L, T>(builder: Builder<S, D, Self, L, T>) -> Result<node::Node<S, D>, StartError>
    where
        S: StateMachine,
        L: LogStorage,
        T: Transport,
    {
        match builder.engine_of_log()?.as_deref() {
            #[cfg(feature = "raft")]
            Some(name) if name == Raft::NAME.0 => builder.engine::<Raft>().start(),
            #[cfg(feature = "multi-paxos")]
            Some(name) if name == MultiPaxos::NAME.0 => builder.engine::<MultiPaxos>().start(),
            #[cfg(feature = "paxos")]
            Some(name) if name == Paxos::NAME.0 => builder.engine::<Paxos>().start(),
            _ => builder.engine::<DefaultEngine>().start(),
        }
    }
}
