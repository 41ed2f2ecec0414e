//! `examples/kv` as its users meet it: real processes, real sockets, the Redis protocol.

#![cfg(all(feature = "__engine", feature = "tcp", feature = "file", feature = "client"))]

mod clients;
mod crashes;
mod credentials;
mod differential;
#[path = "../engines/mod.rs"]
mod engines;
mod exactly_once;
mod kills;
mod left_behind;
mod load;
mod lost_quorum;
mod partitions;
#[path = "../ports/mod.rs"]
mod ports;
mod processes;
mod program;
mod read_levels;
mod refusals;
mod replacement;
mod stopped;
mod three_nodes;
mod transactions;
