//! [`Endpoint`]: a way to one member of a cluster. [`InProcess`] is the way to a node in the same process.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use consensus_api::{Error, Index, NodeId, Payload, Queryable, SessionOp};
use node::{Node, ReadLevel, SessionAnswer};

/// What a client asks of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A request of its session. The command, in its byte form, is empty when a session is opened or closed.
    Session {
        /// What the session has to say of it.
        op: SessionOp,
        /// The command.
        command: Bytes,
    },
    /// A question, in its byte form.
    Query {
        /// What the answer must have seen.
        level: ReadLevel,
        /// The question.
        query: Bytes,
    },
}

/// What a member answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// To a request of a session: the index at which it was applied, and the answer.
    Session(Index, SessionAnswer),
    /// To a question, in its byte form.
    Query(Bytes),
}

/// A way to one member. An answer that is lost is an [`Error::OutcomeUnknown`]; one that was certainly never asked for is
/// any other error.
#[async_trait]
pub trait Endpoint: Send + Sync + 'static {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Error`], of this attempt.
    async fn ask(&self, request: Request) -> Result<Reply, Error>;

    /// The member that leads, as far as is known at this end.
    fn leader(&self) -> Option<NodeId>;
}

/// A node in this process.
#[derive(Debug)]
pub struct InProcess<S: Queryable, D>(Node<S, D>);

impl<S: Queryable, D> InProcess<S, D> {
    /// The way to this node.
    pub fn new(node: Node<S, D>) -> Self {
        Self(node)
    }
}

#[async_trait]
impl<S: Queryable, D: 'static> Endpoint for InProcess<S, D> {
    async fn ask(&self, request: Request) -> Result<Reply, Error> {
        answer(&self.0, request).await
    }

    fn leader(&self) -> Option<NodeId> {
        self.0.status().leader
    }
}

/// Carries out a client's request on a node.
pub(crate) async fn answer<S: Queryable, D>(node: &Node<S, D>, request: Request) -> Result<Reply, Error> {
    match request {
        Request::Session { op, command } => {
            let (index, answer) = node.propose_in_session(op, command).await?;
            Ok(Reply::Session(index, answer))
        }
        Request::Query { level, query } => {
            let query = S::Query::decode(query).map_err(|error| Error::Refused {
                reason: format!("the question does not decode: {error}"),
            })?;
            let answer = node.read_at(level, |machine| encode(&machine.query(query))).await??;
            Ok(Reply::Query(answer))
        }
    }
}

/// The byte form of a command, a question or an answer.
pub(crate) fn encode(payload: &impl Payload) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    payload.encode(&mut bytes).map_err(|error| Error::Refused { reason: error.to_string() })?;
    Ok(bytes.freeze())
}
