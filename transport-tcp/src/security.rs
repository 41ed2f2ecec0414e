//! [`Security`]: what a node shows and demands of whoever it talks to.

use std::io;

use consensus_api::{Identity, NodeId, TransportError};
use tokio::net::TcpStream;

use crate::ending::Ending;
use crate::hello::NONCE_BYTES;
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::socket::Socket;
#[cfg(feature = "tls")]
use crate::tls::{self, Tls};

/// The first byte of a connection that begins with a frame of ours instead of TLS.
#[cfg(feature = "tls")]
const PLAIN: u8 = crate::frame::MAGIC[0];

/// Nothing, a shared secret, TLS, or both.
#[derive(Clone, Default, Debug)]
pub(crate) struct Security {
    pub(crate) secret: Option<Secret>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

#[cfg_attr(
    not(feature = "tls"),
    allow(
        clippy::unused_self,
        clippy::unused_async,
        clippy::unnecessary_wraps,
        reason = "with TLS there is more to do"
    )
)]
impl Security {
    /// Checks that it fits the node.
    pub(crate) fn attach(&self, identity: &Identity) -> Result<(), TransportError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.attach(&identity.cluster, identity.node)?;
        }
        let _ = identity;
        Ok(())
    }

    /// A nonce, where one is needed.
    pub(crate) fn nonce(&self) -> io::Result<Option<[u8; NONCE_BYTES]>> {
        if self.secret.is_none() {
            return Ok(None);
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Some(nonce))
    }

    /// Secures a connection that was dialled.
    pub(crate) async fn call(
        &self,
        stream: TcpStream,
        identity: &Identity,
        peer: NodeId,
    ) -> Result<Socket, Ending> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let stream = tls.call(stream, &identity.cluster, identity.node, peer).await?;
            return Ok(Socket::Tls(stream));
        }
        let _ = (identity, peer);
        Ok(Socket::Plain(stream))
    }

    /// Secures a connection that was accepted. One without TLS where TLS is demanded comes back as it is, for its caller
    /// to be refused in words.
    pub(crate) async fn answer(&self, stream: TcpStream) -> Result<Socket, Ending> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(Ending::Closed);
            }
            if first[0] != PLAIN {
                let answered = tls.answer(stream).await;
                return Ok(Socket::Tls(answered.map_err(|error| Ending::Tls { error })?));
            }
        }
        Ok(Socket::Plain(stream))
    }

    /// Whether a caller showed what it must, now that it says who it is.
    pub(crate) fn check_caller(
        &self,
        socket: &Socket,
        identity: &Identity,
        peer: NodeId,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            let me = identity.node;
            return match socket {
                Socket::Tls(stream) => tls::check_peer(stream, &identity.cluster, me, peer),
                Socket::Plain(_) => Err(Refusal::Encryption {
                    problem: format!("node {me} demands TLS, and node {peer} called without"),
                }),
            };
        }
        let _ = (socket, identity, peer);
        Ok(())
    }
}

/// Finds the refusal behind a connection that broke in the handshake: with TLS, a certificate that the other does not
/// accept shows only then.
pub(crate) fn explain(ending: Ending, me: NodeId, peer: NodeId) -> Ending {
    #[cfg(feature = "tls")]
    if let Ending::Io(error) = &ending
        && let Some(refusal) = tls::refusal_in(error, me, peer)
    {
        return refusal.into();
    }
    let _ = (me, peer);
    ending
}
