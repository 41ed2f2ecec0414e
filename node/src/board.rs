//! [`Board`]: where a node's status is put up for its handles to see, and what is told of it.

use std::time::Duration;

use consensus_api::{Engine, Generation, Index, NodeId, PeerConnection, Role, Standing, Time, Transport};
use tokio::sync::watch;

use crate::replica::Replica;
use crate::status::Status;

/// The cause of an orderly stop.
pub(crate) const SHUT_DOWN: &str = "it was shut down";

/// Where the node's status is put up for its handles to see.
pub(crate) struct Board {
    status: watch::Sender<Status>,
    shown: Option<Shown>,
    next: Time,
    stale: bool,
    connections: u64,
}

/// What of a status is compared to see whether it has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    standing: Standing,
    applied: Index,
    snapshot: Index,
    notes: u64,
    /// Counts what the transport told about its connections.
    connections: u64,
}

impl Shown {
    /// What is told at once, and to people.
    const fn office(&self) -> (Role, Option<NodeId>) {
        (self.standing.role, self.standing.leader)
    }

    const fn generation(&self) -> Generation {
        self.standing.generation
    }
}

/// The status follows the log at this distance, and changes of role at once.
const SHOWN_EVERY: Duration = Duration::from_millis(5);

impl Board {
    pub(crate) fn new(status: watch::Sender<Status>) -> Self {
        Self { status, shown: None, next: Time::ZERO, stale: false, connections: 0 }
    }

    /// When there is something to publish.
    pub(crate) fn due(&self) -> Time {
        if self.stale { self.next } else { Time::MAX }
    }

    /// The transport told something of a connection.
    pub(crate) const fn connection_changed(&mut self) {
        self.connections += 1;
    }

    /// Whether the status was put up anew.
    pub(crate) fn publish_if_due<E: Engine, P, R>(
        &mut self,
        replica: &Replica<E, P, R>,
        transport: &impl Transport,
        now: Time,
    ) -> bool {
        let current = Shown {
            standing: replica.standing(),
            applied: replica.applied_index(),
            snapshot: replica.snapshot_index(),
            notes: replica.noted(),
            connections: self.connections,
        };
        let Some(shown) = self.shown.filter(|shown| shown.office() == current.office()) else {
            tell(replica);
            self.publish(replica, transport, now, current);
            return true;
        };
        self.stale = shown != current;
        let due = self.stale && (now >= self.next || shown.generation() != current.generation());
        if due {
            self.publish(replica, transport, now, current);
        }
        due
    }

    fn publish<E: Engine, P, R>(
        &mut self,
        replica: &Replica<E, P, R>,
        transport: &impl Transport,
        now: Time,
        shown: Shown,
    ) {
        self.status.send_replace(status_of(replica, transport.peers(), None));
        self.shown = Some(shown);
        self.stale = false;
        self.next = now + SHOWN_EVERY;
    }

    /// The node stops, and this is what remains to be seen of it.
    pub(crate) fn publish_end<E: Engine, P, R>(&self, replica: &Replica<E, P, R>, cause: String) {
        if cause != SHUT_DOWN {
            tracing::error!(node = replica.identity().node.0, "the node stops: {cause}");
        }
        self.status.send_replace(status_of(replica, Vec::new(), Some(cause)));
    }
}

pub(crate) fn status_of<E: Engine, P, R>(
    replica: &Replica<E, P, R>,
    connections: Vec<PeerConnection>,
    stopped: Option<String>,
) -> Status {
    let standing = replica.standing();
    let mut peers = Vec::new();
    replica.engine().progress(&mut peers);
    Status {
        node: replica.identity().node,
        engine: E::NAME,
        role: standing.role,
        generation: standing.generation,
        leader: standing.leader,
        last: standing.last,
        commit: standing.commit,
        applied: replica.applied_index(),
        snapshot: replica.snapshot_index(),
        membership: replica.engine().membership().clone(),
        peers,
        connections,
        refused_stores: replica.refused_stores(),
        removed: replica.removal(),
        notes: replica.notes().to_vec(),
        stopped: stopped.map(Into::into),
    }
}

fn tell<E: Engine, P, R>(replica: &Replica<E, P, R>) {
    let standing = replica.standing();
    let (node, generation) = (replica.identity().node.0, standing.generation);
    match (standing.role, standing.leader) {
        (Role::Leader, _) => tracing::info!(node, %generation, "leads"),
        (Role::Peer, _) => tracing::info!(node, "takes part; nobody leads"),
        (Role::Candidate, _) => tracing::info!(node, %generation, "stands for election"),
        (_, Some(leader)) => tracing::info!(node, %generation, "follows node {leader}"),
        (_, None) => tracing::info!(node, %generation, "knows no leader"),
    }
}
