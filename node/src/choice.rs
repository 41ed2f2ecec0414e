//! [`Choice`]: which engine a node is to run.

use consensus_api::{Engine, LogStorage, StartError, StateMachine, Transport};

use crate::builder::Builder;
use crate::handle::Node;

/// Which engine a node is to run: every engine chooses itself. Whoever bundles several may choose among them when a node
/// is started, by the log that is there ([`Builder::engine_of_log`]).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consensus engine",
    note = "enable a feature that brings one (`raft`, `multi-paxos` or `paxos`), or name one with `.engine::<E>()`"
)]
pub trait Choice: Sized {
    /// Starts the node on the engine chosen.
    ///
    /// # Errors
    /// As [`Builder::start`].
    fn start<S, D, L, T>(builder: Builder<S, D, Self, L, T>) -> Result<Node<S, D>, StartError>
    where
        S: StateMachine,
        L: LogStorage,
        T: Transport;
}

impl<E: Engine> Choice for E {
    fn start<S, D, L, T>(builder: Builder<S, D, Self, L, T>) -> Result<Node<S, D>, StartError>
    where
        S: StateMachine,
        L: LogStorage,
        T: Transport,
    {
        builder.start_engine()
    }
}
