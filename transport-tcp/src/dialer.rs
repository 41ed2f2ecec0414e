//! [`Dialer`]: the task that keeps one connection to a peer and writes what waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use consensus_api::{Arrival, Frame, Lane, NodeId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use crate::backoff::Backoff;
use crate::batch::Batch;
use crate::decoder::Decoder;
use crate::ending::Ending;
use crate::frame::{FrameError, Kind};
use crate::handshake::Handshake;
use crate::hello::Purpose;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::resolver::Resolver;
use crate::roster::Roster;
use crate::security::explain;
use crate::silence::Silence;
use crate::socket::Socket;

/// Keeps one connection to a peer: dials, greets, writes, and begins again when it breaks.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) roster: Arc<Roster>,
    pub(crate) peer: NodeId,
    /// `host:port`, resolved anew for each connection. It may change.
    pub(crate) address: watch::Receiver<Arc<str>>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) purpose: Purpose,
    /// What this connection carries.
    pub(crate) outbox: Arc<Outbox>,
    /// What the connection for consensus carries. It alone says whether a peer is within reach.
    pub(crate) consensus: Arc<Outbox>,
}

impl Dialer {
    /// Runs until its task is aborted.
    pub(crate) async fn run(self) {
        let options = &self.roster.options;
        let mut backoff =
            Backoff::new(options.reconnect_wait_min, options.reconnect_wait_max, self.jitter_seed());
        let mut moves = self.address.clone();
        loop {
            let address = Arc::clone(&moves.borrow_and_update());
            tokio::select! {
                lasted = self.attempt(&address) => {
                    // A connection that breaks at once is no sign that all is well.
                    if lasted > options.reconnect_wait_max {
                        backoff.reset();
                    }
                    tokio::select! {
                        () = sleep(backoff.wait()) => continue,
                        Ok(()) = moves.changed() => {}
                    }
                }
                Ok(()) = moves.changed() => self.down(&address, &Ending::Moved),
            }
            backoff.reset();
        }
    }

    /// One connection, or a failure to come to one. How long it lasted.
    async fn attempt(&self, address: &str) -> Duration {
        if self.purpose == Purpose::Bulk {
            self.outbox.filled().await; // dialled when there is something to carry
        }
        match self.dial(address).await {
            Ok((socket, handshake)) => {
                self.up(address, &handshake);
                let since = Instant::now();
                let ending = self.carry(socket, handshake).await;
                self.down(address, &ending);
                since.elapsed()
            }
            Err(ending) => {
                self.down(address, &ending);
                Duration::ZERO
            }
        }
    }

    /// Differs between nodes, lives, peers and purposes.
    fn jitter_seed(&self) -> u64 {
        let me = &self.roster.identity;
        [me.incarnation.0, me.node.0, self.peer.0, self.purpose as u64]
            .into_iter()
            .fold(0, |seed: u64, part| (seed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    async fn dial(&self, address: &str) -> Result<(Socket, Handshake), Ending> {
        let wait_max = self.roster.options.dial_wait_max;
        let dial = async {
            let stream = connect(address, &*self.resolver).await?;
            let (security, identity) = (&self.roster.security, &self.roster.identity);
            let mut socket = security.call(stream, identity, self.peer).await?;
            let handshake = Handshake::call(&mut socket, &self.roster, self.peer, self.purpose).await;
            let handshake = handshake.map_err(|ending| explain(ending, identity.node, self.peer))?;
            Ok((socket, handshake))
        };
        timeout(wait_max, dial).await.unwrap_or(Err(Ending::Late { wait_max }))
    }

    fn up(&self, address: &str, handshake: &Handshake) {
        self.roster.met(self.peer);
        self.outbox.open(handshake.agreement.frame_bytes_max);
        if self.purpose == Purpose::Consensus {
            info!(peer = %self.peer, address, "connected");
            self.roster.inbox.notice(Arrival::Connected(self.peer));
        }
    }

    fn down(&self, address: &str, ending: &Ending) {
        let (peer, inbox) = (self.peer, &self.roster.inbox);
        match ending {
            Ending::Refused(refusal) => self.roster.refused(peer, refusal.code(), &refusal.to_string()),
            Ending::RefusedByPeer { code, words } => self.roster.refused(peer, *code, words),
            _ => {}
        }
        match self.purpose {
            Purpose::Consensus if self.outbox.close() => {
                info!(%peer, address, reason = %ending, "unreachable");
                inbox.notice(Arrival::Unreachable(peer));
            }
            Purpose::Consensus => {
                debug!(%peer, address, reason = %ending, "still unreachable");
            }
            // The connection for consensus moves as well, and says so.
            Purpose::Bulk if matches!(ending, Ending::Moved) => self.outbox.clear(),
            // Frames were lost, but the peer is there.
            Purpose::Bulk => {
                debug!(%peer, address, reason = %ending, "bulk connection lost");
                self.outbox.clear();
                self.consensus.while_open(|| {
                    inbox.notice(Arrival::Unreachable(peer));
                    inbox.notice(Arrival::Connected(peer));
                });
            }
        }
    }

    async fn carry(&self, socket: Socket, handshake: Handshake) -> Ending {
        match socket {
            Socket::Plain(mut stream) => {
                let (incoming, outgoing) = stream.split();
                self.exchange(incoming, outgoing, handshake).await
            }
            #[cfg(feature = "tls")]
            Socket::Tls(stream) => {
                let (incoming, outgoing) = tokio::io::split(stream);
                self.exchange(incoming, outgoing, handshake).await
            }
        }
    }

    /// Writes, listens for pongs and watches for silence, until one of the three finds the connection broken.
    async fn exchange(
        &self,
        mut incoming: impl AsyncRead + Unpin,
        mut outgoing: impl AsyncWrite + Unpin,
        handshake: Handshake,
    ) -> Ending {
        let silence_max = self.roster.options.silence_max;
        let silence = Silence::default();
        let Handshake { sealer, mut decoder, .. } = handshake;
        let pace = self.roster.options.bulk_bytes_per_second_max;
        let mut pace = pace.filter(|_| self.purpose == Purpose::Bulk).map(Pace::new);
        let write = async {
            let mut batch = Batch::new(sealer);
            let mut frames: Vec<(Lane, Frame)> = Vec::new();
            loop {
                if self.outbox.take(&mut frames, self.roster.options.write_bytes_max).await {
                    batch.push(Kind::Ping, Lane::Control, &Frame::default());
                }
                for (lane, frame) in frames.drain(..) {
                    batch.push(Kind::Message, lane, &frame);
                }
                if let Err(error) = batch.write_to(&mut outgoing, &silence, pace.as_mut()).await {
                    return error.into();
                }
            }
        };
        tokio::select! {
            ending = write => ending,
            ending = hear_pongs(&mut decoder, &mut incoming, &silence) => ending,
            () = silence.exceeds(silence_max, || self.outbox.request_ping()) => Ending::Silent { silence_max },
        }
    }
}

/// Tries each address that the name stands for.
async fn connect(to: &str, resolver: &dyn Resolver) -> Result<TcpStream, Ending> {
    let resolved = resolver.resolve(to).await;
    let addresses = resolved.map_err(|source| Ending::Unresolved { address: to.to_owned(), source })?;
    let mut ending = Ending::Nowhere { address: to.to_owned() };
    for address in addresses {
        match TcpStream::connect(address).await {
            // A system may connect a socket to itself when nobody listens and the port it draws is the one dialled.
            Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                ending = io::Error::from(io::ErrorKind::ConnectionRefused).into();
            }
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => ending = error.into(),
        }
    }
    Err(ending)
}

/// All that comes back on a dialled connection, besides its end.
async fn hear_pongs(
    decoder: &mut Decoder,
    incoming: &mut (impl AsyncRead + Unpin),
    silence: &Silence,
) -> Ending {
    loop {
        match decoder.next() {
            Ok(Some((Kind::Pong, _))) => silence.broken(),
            Ok(Some((kind, _))) => return FrameError::OutOfPlace { kind }.into(),
            Ok(None) => match decoder.fill(incoming).await {
                Ok(0) => return Ending::Closed,
                Ok(_) => {}
                Err(error) => return error.into(),
            },
            Err(error) => return error.into(),
        }
    }
}
