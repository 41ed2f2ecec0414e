//! A served, durable, replicated key-value store. It speaks the Redis protocol, so redis-cli, redis-benchmark and every
//! Redis client library are its clients.
//!
//! ```text
//! cargo run --release --example kv             three nodes on this machine
//! redis-cli -p 6401 set greeting hello         any node takes any command
//! redis-cli -p 6403 get greeting               and a GET sees every SET that was answered
//! ```
//!
//! `kv node` runs one member of a cluster, for several machines; `kv join` one that is added to it, and `kv admin` (or
//! `redis-cli ADMIN`) changes who takes part; `kv --help` has the options, and docs/membership.md the steps. If a majority of
//! the disks is lost for good, docs/lost-quorum.md tells what `kv unsafely-recover` can do.
//!
//! # Exactly once
//!
//! A Redis client that gets no answer does not know whether its INCR happened. `kv client` does: it numbers its commands
//! within a session that the members replicate, and asks one member after the other until one answers.
//!
//! ```text
//! kv --sessions-port 7401
//! kv client --servers 1=127.0.0.1:7401,2=127.0.0.1:7402,3=127.0.0.1:7403 INCR visits
//! kv client --servers ... < commands           one command a line, all in one session
//! ```
//!
//! # How it is made
//!
//! What is replicated is [`store`]: a state machine that knows neither network nor disk. Its vocabulary is [`command`].
//! Everything else brings clients to it:
//!
//! ```text
//! socket ─► parser ─► request (grammar) ─► pipeline ─► Node ─► log ─► Store
//!        ◄─ reply ◄─────────────────────── in order  ◄─────── answer ◄─┘
//! ```
//!
//! [`connection`] runs one client, [`server`] lets them in, [`member`] puts a node and its server on a thread of their
//! own. [`session`] answers what concerns the connection and not the store, [`admin`] what concerns the cluster.
//! [`sessions`] is the member's side of [`client`], the client that counts its commands.
//!
//! # What a client may rely on
//!
//! * What was answered stays, whichever minority of the nodes dies; and all of them together, as far as the disks live.
//! * A query sees every change that was answered before it was sent, through whichever node; unless its connection asked
//!   for less, with READONLY or CLIENT READLEVEL.
//! * Commands of one connection take effect in the order in which it sent them.
//! * `-CLUSTERDOWN` means that the command did not happen, `-TIMEOUT` that it may have happened. Every other error is
//!   one that Redis gives, too.

#![allow(unreachable_pub, reason = "an example is a program: nothing in it is reached from outside")]

mod admin;
mod client;
mod command;
mod connection;
mod credentials;
mod expiry;
mod glob;
mod grammar;
mod inline;
mod integer;
mod keyspace;
mod level;
mod limits;
mod lost_quorum;
mod member;
mod operator;
mod options;
mod parser;
mod pipeline;
mod reply;
mod request;
mod server;
mod session;
mod sessions;
mod snapshot;
mod store;
#[cfg(test)]
#[path = "store/tests.rs"] // not in `store`, for the benchmark of snapshots takes that as it is
mod store_tests;
mod transaction;

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Parser;
use quorate::{Peers, Status, Tcp};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use credentials::Shown;
use member::{Member, Running};
use options::{NodeOptions, Options, Subcommand};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.subcommand {
        None => run_three(options).await,
        Some(Subcommand::Node(node)) => run_one(node, false).await,
        Some(Subcommand::Join(node)) => run_one(node, true).await,
        Some(Subcommand::Admin(asked)) => operator::run(&asked),
        Some(Subcommand::Client(asked)) => client::run(asked).await,
        Some(Subcommand::UnsafelyRecover(asked)) => lost_quorum::run(&asked).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("kv: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// A whole cluster in one process: three members, which talk to each other over TCP all the same.
async fn run_three(options: Options) -> Result<(), String> {
    println!("data in {}", options.data.display());
    let mut listeners = Vec::new();
    for id in 1..=3_u64 {
        let listener = Tcp::listen("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        listeners.push((id, listener));
    }
    let peers: Peers = listeners.iter().map(|(id, listener)| (*id, listener.local_addr())).collect();
    let stop = watch::Sender::new(false);
    let mut running = Vec::new();
    for ((id, peer_listener), port) in listeners.into_iter().zip(options.port..) {
        let member = Member {
            id: id.into(),
            common: options.common.clone(),
            data: options.data.join(format!("node-{id}")),
            client: format!("127.0.0.1:{port}"),
            sessions: options
                .sessions_port
                .map(|first| format!("127.0.0.1:{}", first + (port - options.port))),
            peer_listener,
            peers: peers.clone(),
            shown: Shown::default(),
            joins: false,
        };
        running.push(member.start(stop.clone()).await?);
        println!("node {id} serves on 127.0.0.1:{port}");
    }
    let leader = running[0].node.leader().await.map_err(|error| error.to_string())?;
    println!("node {leader} leads; try: redis-cli -p {} set greeting hello", options.port);
    println!("Ctrl-C stops them");
    run_until_stopped(running, stop).await
}

/// One member of a cluster whose others are elsewhere: a founder, or one that waits to be added.
async fn run_one(options: NodeOptions, joins: bool) -> Result<(), String> {
    let peer_listener = Tcp::listen(options.peer_listen).await.map_err(|error| error.to_string())?;
    let peers: Peers = options.peers.iter().map(|peer| (peer.id, &peer.address)).collect();
    let shown = options.credentials.load().map_err(|sentence| format!("node {}: {sentence}", options.id))?;
    if peers.iter().count() < options.peers.len() {
        return Err("a --peer is given twice; give each member once".into());
    }
    let stop = watch::Sender::new(false);
    let member = Member {
        id: options.id.into(),
        common: options.common.clone(),
        data: options.data.clone(),
        client: options.client.clone(),
        sessions: options.sessions.clone(),
        peer_listener,
        peers: peers.clone(),
        shown: shown.clone(),
        joins,
    };
    let running = member.start(stop.clone()).await?;
    let status = running.node.status();
    if !joins {
        report_contradiction(&status, &peers);
    }
    shown.reload_when_asked(options.id)?;
    println!(
        "node {} of cluster {} serves on {} (engine {}, data in {})",
        options.id,
        options.common.cluster,
        options.client,
        status.engine,
        options.data.display()
    );
    run_until_stopped(vec![running], stop).await
}

/// The list of peers founds a cluster. From then on the log knows who takes part.
fn report_contradiction(status: &Status, peers: &Peers) {
    let listed: BTreeSet<u64> = peers.iter().map(|(id, _)| id.0).collect();
    let logged: BTreeSet<u64> = status.membership.members().map(|id| id.0).collect();
    if listed != logged {
        eprintln!(
            "kv: --peer names the members {listed:?}, but the log says {logged:?}; the log counts, correct --peer"
        );
    }
}

/// Waits for Ctrl-C, a request to terminate, or the end of a node; then stops all.
async fn run_until_stopped(running: Vec<Running>, stop: watch::Sender<bool>) -> Result<(), String> {
    let mut stopping = stop.subscribe();
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("no signals: {error}"))?;
    tokio::select! {
        asked = ctrl_c() => asked.map_err(|error| format!("no signals: {error}"))?,
        _ = terminate.recv() => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    stop.send_replace(true);
    running.into_iter().map(Running::join).fold(Ok(()), Result::and)
}
