//! A cluster within one process: for examples, tests, and services that want the log without the network.

use node::{LocalNetwork, MemoryLog, Options};

use crate::{DefaultEngine, Engine, Node, StartError, StateMachine};

/// Starts `N` nodes in this process, in memory, on the default engine. Each gets a state machine from `new`; all must
/// begin alike.
///
/// Call it within a tokio runtime. The nodes stop when their handles are dropped.
///
/// # Errors
/// [`StartError`], of which only [`StartError::NoRuntime`] is likely.
#[expect(unused_lifetimes, reason = "defers the bound to the call: no engine at all still builds")]
pub fn cluster<S: StateMachine, const N: usize>(new: impl Fn() -> S) -> Result<[Node<S>; N], StartError>
where
    for<'a> DefaultEngine: Engine,
{
    cluster_with::<DefaultEngine, S, N>(new, &Options::default())
}

/// As [`cluster`], on a named engine and with options.
///
/// # Errors
/// As [`cluster`]; and [`StartError::Options`] when the options do not fit together.
pub fn cluster_with<E: Engine, S: StateMachine, const N: usize>(
    new: impl Fn() -> S,
    options: &Options,
) -> Result<[Node<S>; N], StartError> {
    let network = LocalNetwork::new();
    let members = || 1..=N as u64;
    let started: Result<Vec<_>, _> = members()
        .map(|id| {
            Node::builder("local", id, members(), new())
                .storage(MemoryLog::new())
                .transport(network.transport(id))
                .engine::<E>()
                .options(options.clone())
                .start()
        })
        .collect();
    let mut started = started?.into_iter();
    Ok(std::array::from_fn(|_| started.next().expect("one node was started for each place")))
}
