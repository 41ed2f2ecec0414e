//! [`Admin`]: what an operator asks of the cluster, with ADMIN on any connection: who takes part, and who leads; and of the
//! member that is asked, a snapshot.
//!
//! ADMIN MEMBERS | STATUS | ADD id address | PROMOTE id | REMOVE id | ADDRESS id address | TRANSFER [id] | SNAPSHOT

use std::fmt::Write;

use bytes::Bytes;
use quorate::{Error, Index, Membership, Node, NodeId, Reach, Status};

use crate::limits::Limits;
use crate::reply::Reply;
use crate::request::{Request, beginning};
use crate::store::Store;

/// What an operator asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admin {
    Members,
    Status,
    /// A member that receives the log and has no vote, and where the others find it.
    Add(NodeId, String),
    /// It gets a vote, once it has caught up.
    Promote(NodeId),
    Remove(NodeId),
    /// The others find it elsewhere from now on.
    Address(NodeId, String),
    /// Another leads: this one, or whoever is best placed.
    Transfer(Option<NodeId>),
    /// This member takes a snapshot of everything that was answered before.
    Snapshot,
}

const USAGE: &str = "ERR say ADMIN MEMBERS, STATUS, ADD id host:port, PROMOTE id, REMOVE id, ADDRESS id host:port, TRANSFER [id], or SNAPSHOT; an id is a number";

/// ADMIN subcommand [argument...]
pub fn read(words: &[Bytes], _: &Limits) -> Result<Request, Reply> {
    let texts: Vec<String> = words[1..].iter().map(|word| beginning(word, 512)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (subcommand, arguments) =
        texts.split_first().map_or((String::new(), &[][..]), |(first, rest)| (first.to_lowercase(), rest));
    let usage = || Reply::Error(USAGE.into());
    let id = |text: &str| text.parse().map(NodeId).map_err(|_| usage());
    let admin = match (subcommand.as_str(), arguments) {
        ("members", []) => Admin::Members,
        ("status", []) => Admin::Status,
        ("add", [node, address]) => Admin::Add(id(node)?, address_of(address)?),
        ("promote", [node]) => Admin::Promote(id(node)?),
        ("remove", [node]) => Admin::Remove(id(node)?),
        ("address", [node, address]) => Admin::Address(id(node)?, address_of(address)?),
        ("snapshot", []) => Admin::Snapshot,
        ("transfer", []) => Admin::Transfer(None),
        ("transfer", [node]) => Admin::Transfer(Some(id(node)?)),
        _ => return Err(usage()),
    };
    Ok(Request::Admin(admin))
}

fn address_of(text: &str) -> Result<String, Reply> {
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok() && text.len() <= Membership::ADDRESS_BYTES_MAX
    });
    let wrong = || {
        Reply::error(format!(
            "ERR {text} is no address; write where the other members reach it, such as 10.0.0.4:7000"
        ))
    };
    if is_address { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// Asks the cluster. The answer comes once it is done, or certain not to be.
pub async fn carry_out(node: Node<Store>, admin: Admin) -> Reply {
    let done = match admin {
        Admin::Status => return Reply::text(status(&node.status())),
        Admin::Members => {
            return match node.members().await {
                Ok(members) => Reply::text(list(&members, node.status().leader)),
                Err(error) => failed(&error),
            };
        }
        Admin::Add(id, address) => node.add_learner(id, address).await,
        Admin::Promote(id) => node.promote(id).await,
        Admin::Remove(id) => node.remove(id).await,
        Admin::Address(id, address) => node.set_address(id, address).await,
        Admin::Snapshot => {
            return match snapshot(&node).await {
                Ok(upto) => Reply::text(format!("the snapshot holds everything up to entry {upto}")),
                Err(error) => failed(&error),
            };
        }
        Admin::Transfer(to) => node.transfer_leadership(to).await,
    };
    done.map_or_else(|error| failed(&error), |()| Reply::OK)
}

/// A snapshot of everything that was answered before.
async fn snapshot(node: &Node<Store>) -> Result<Index, Error> {
    node.read(|_| ()).await?;
    node.take_snapshot().await
}

/// The error in its own words, behind the word for programs that every command has for it.
fn failed(error: &Error) -> Reply {
    let word = match error {
        Error::OutcomeUnknown { .. } => "TIMEOUT",
        Error::NoLeader { .. } | Error::Stopped { .. } => "CLUSTERDOWN",
        _ => "ERR",
    };
    let next = match error {
        Error::OutcomeUnknown { .. } => "; look with ADMIN MEMBERS before asking again",
        Error::NoLeader { removed: None, .. } => "; a majority of the voters must run and reach each other",
        _ => "",
    };
    Reply::error(format!("{word} {error}{next}"))
}

/// A line for each member.
fn list(members: &Membership, leader: Option<NodeId>) -> String {
    let line = |node: NodeId| {
        let incoming = members.voters().contains(&node);
        let what = match (incoming, members.is_voter(node)) {
            (true, _) if members.is_joint() && !members.outgoing().contains(&node) => "voter, coming",
            (true, _) => "voter",
            (false, true) => "voter, leaving",
            (false, false) => "learner",
        };
        let leads = if leader == Some(node) { ", leads" } else { "" };
        let at = members.address(node).map(|address| format!(", at {address}")).unwrap_or_default();
        let disk = members.store(node).map(|store| format!(", disk {store}")).unwrap_or_default();
        format!("node {node}: {what}{leads}{at}{disk}\n")
    };
    members.members().map(line).collect()
}

/// How one node stands, and what it knows of the others.
fn status(status: &Status) -> String {
    let mut text = format!("{status}\n");
    if status.leader.is_none() {
        text += "it knows no leader\n";
    }
    text += &list(&status.membership, status.leader);
    // Text in memory takes everything.
    for peer in &status.peers {
        let _ = writeln!(text, "node {} holds the log up to {} of {}", peer.peer, peer.matched, status.last);
    }
    for peer in status.connections.iter().filter(|peer| peer.reach != Reach::Open) {
        let why = peer.refusal.as_ref().map(|refusal| format!(": {}", refusal.reason)).unwrap_or_default();
        let _ = writeln!(text, "node {} at {} is {}{why}", peer.peer, peer.address, peer.reach);
    }
    if let Some(removal) = &status.removed {
        let _ = writeln!(text, "{removal}");
    }
    for refusal in &status.refused_stores {
        let _ = writeln!(text, "refused: {refusal}");
    }
    text
}
