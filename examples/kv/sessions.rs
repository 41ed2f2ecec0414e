//! The member's side of `kv client`: a port for clients with sessions, and questions as values.

use quorate::{ClientPort, ClientPortOptions, Node, Queryable};

use crate::command::{Query, Response};
use crate::limits::Limits;
use crate::pipeline::wall_time;
use crate::store::Store;

impl Queryable for Store {
    type Query = Query;
    /// `None` where only the log's time can tell whether a key has ended: the client then sends the question through it.
    type Answer = Option<Response>;

    fn query(&self, query: Query) -> Option<Response> {
        self.answer(&query, wall_time()).ok()
    }
}

/// Opens the port. It is closed when what this returns is dropped.
///
/// # Errors
/// A sentence that says why the port cannot be opened, and what to do.
pub async fn open(address: &str, node: Node<Store>, limits: &Limits) -> Result<ClientPort, String> {
    let options =
        ClientPortOptions { connections_max: limits.connections_max, ..ClientPortOptions::default() };
    ClientPort::open(address, node, options).await.map_err(|error| {
        format!(
            "cannot take sessions on {address}: {error}; name a free address of this machine with --sessions"
        )
    })
}
