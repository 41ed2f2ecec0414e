//! [`Reader`]: the task that reads from one peer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Frame, NodeId};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use crate::decoder::Decoder;
use crate::ending::Ending;
use crate::frame::{FrameError, Kind, Sealer};
use crate::handshake::Handshake;
use crate::inbox::Entrance;
use crate::roster::Roster;
use crate::silence::Silence;
use crate::socket::Socket;

/// Reads what a peer sends, until the connection ends.
#[derive(Debug)]
pub(crate) struct Reader {
    roster: Arc<Roster>,
    socket: Socket,
    peer: NodeId,
    sealer: Sealer,
    decoder: Decoder,
    entrance: Entrance,
    silence_max: Duration,
    /// Decoded, and about to be delivered together.
    frames: Vec<Frame>,
}

impl Reader {
    /// From now on an older connection from this peer for this purpose delivers nothing.
    pub(crate) fn new(socket: Socket, handshake: Handshake, roster: &Arc<Roster>) -> Self {
        let Handshake { peer, purpose, sealer, decoder, .. } = handshake;
        let entrance = roster.inbox.entrance(peer, purpose, roster.options.inbox_bytes_max);
        let (silence_max, roster) = (roster.options.silence_max, Arc::clone(roster));
        Self { roster, socket, peer, sealer, decoder, entrance, silence_max, frames: Vec::new() }
    }

    pub(crate) async fn run(mut self) {
        match self.read().await {
            ending @ (Ending::Frame(_) | Ending::Silent { .. }) => {
                self.roster.closed(self.peer, ending.name(), &ending);
            }
            ending => debug!(peer = %self.peer, reason = %ending, "closed a connection"),
        }
    }

    async fn read(&mut self) -> Ending {
        let silence = Silence::default();
        let mut too_silent = pin!(silence.exceeds(self.silence_max, || {}));
        loop {
            if let Err(ending) = self.deliver().await {
                return ending;
            }
            // Silence counts only while we listen: a node that is slow to take frames does not make its peer silent.
            tokio::select! {
                biased;
                read = self.decoder.fill(&mut self.socket) => match read {
                    Ok(0) => return Ending::Closed,
                    Ok(_) => silence.broken(),
                    Err(error) => return error.into(),
                },
                () = &mut too_silent => return Ending::Silent { silence_max: self.silence_max },
            }
        }
    }

    /// Delivers all frames that are there, and waits for the node if it has too many already.
    async fn deliver(&mut self) -> Result<(), Ending> {
        let decoded = loop {
            match self.decoder.next() {
                Ok(Some((Kind::Message, frame))) => self.frames.push(frame),
                Ok(Some((Kind::Ping, _))) => self.answer_ping().await?,
                Ok(Some((kind, _))) => break Err(FrameError::OutOfPlace { kind }),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // What came whole before the damage is as good as ever.
        if !self.frames.is_empty() && !self.entrance.deliver(&mut self.frames) {
            return Err(Ending::Superseded);
        }
        decoded?;
        self.entrance.room().await;
        Ok(())
    }

    async fn answer_ping(&mut self) -> Result<(), Ending> {
        let pong = self.sealer.whole(Kind::Pong, Bytes::new());
        let silence_max = self.silence_max;
        let write = async {
            self.socket.write_all(&pong).await?;
            self.socket.flush().await
        };
        match timeout(silence_max, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Ending::Silent { silence_max }),
        }
    }
}
