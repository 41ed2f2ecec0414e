//! [`Ending`]: why a connection ended, or did not come about.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::frame::FrameError;
use crate::refusal::Refusal;

/// Why a connection ended, or did not come about. Whatever it is, the socket is closed.
#[derive(Debug, Error)]
pub(crate) enum Ending {
    #[error("the address {address:?} cannot be resolved: {source}")]
    Unresolved { address: String, source: io::Error },
    #[error("the address {address:?} resolves to nothing")]
    Nowhere { address: String },
    #[error(transparent)]
    Io(io::Error),
    #[cfg(feature = "tls")]
    #[error("its TLS handshake failed: {error}")]
    Tls { error: io::Error },
    #[error("the other side closed the connection")]
    Closed,
    #[error("nothing was heard for {} ms", silence_max.as_millis())]
    Silent { silence_max: Duration },
    #[error("no handshake within {} ms", wait_max.as_millis())]
    Late { wait_max: Duration },
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a newer connection has taken its place, or the peer was forgotten")]
    Superseded,
    #[error("the peer has another address now")]
    Moved,
    /// We do not talk to them.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// They do not talk to us.
    #[error("{words}")]
    RefusedByPeer { code: u8, words: String },
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        // A TLS connection that is cut ends so; a plain one just ends.
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) }
    }
}

impl Ending {
    /// What kind of ending it is, by which a repetition is known.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } | Self::Nowhere { .. } => "address",
            Self::Io(_) => "io",
            #[cfg(feature = "tls")]
            Self::Tls { .. } => "tls",
            Self::Closed | Self::Superseded | Self::Moved => "closed",
            Self::Silent { .. } | Self::Late { .. } => "silent",
            Self::Frame(_) => "frame",
            Self::Refused(_) | Self::RefusedByPeer { .. } => "refused",
        }
    }
}
