//! [`Acceptor`]: the task that lets peers in.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consensus_api::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::ending::Ending;
use crate::frame::FrameError;
use crate::handshake::Handshake;
use crate::hello::Purpose;
use crate::reader::Reader;
use crate::roster::Roster;
use crate::socket::Socket;

/// What a connection begins with that speaks TLS.
const TLS: [u8; 2] = [0x16, 0x03];
/// When the system has no socket left, it needs a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections, and owns the tasks behind them: they end with it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    roster: Arc<Roster>,
    handshakes: JoinSet<Option<(Socket, Handshake)>>,
    /// The handshakes under way, oldest first.
    pending: VecDeque<AbortHandle>,
    readers: JoinSet<()>,
    /// The reader of each peer and purpose.
    current: HashMap<(NodeId, Purpose), AbortHandle>,
    /// Peers whose connections are to end.
    forgotten: UnboundedReceiver<NodeId>,
}

impl Acceptor {
    pub(crate) fn new(
        listener: TcpListener,
        roster: Arc<Roster>,
        forgotten: UnboundedReceiver<NodeId>,
    ) -> Self {
        Self {
            listener,
            roster,
            handshakes: JoinSet::new(),
            pending: VecDeque::new(),
            readers: JoinSet::new(),
            current: HashMap::new(),
            forgotten,
        }
    }

    /// Runs until its task is aborted.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => self.greet(stream, address),
                    Err(error) => {
                        self.roster.crowded("accept", &format_args!("cannot accept a connection: {error}"));
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(greeted) = self.handshakes.join_next() => {
                    if let Ok(Some((socket, handshake))) = greeted {
                        self.let_in(socket, handshake);
                    }
                }
                Some(_) = self.readers.join_next() => {}
                Some(peer) = self.forgotten.recv() => self.end_all_of(peer),
            }
        }
    }

    /// Begins a handshake. Of too many, the oldest goes: peers need a moment, those who only hold the door have had
    /// theirs.
    fn greet(&mut self, stream: TcpStream, address: SocketAddr) {
        self.pending.retain(|handshake| !handshake.is_finished());
        if self.pending.len() >= self.roster.options.handshakes_max
            && let Some(oldest) = self.pending.pop_front()
        {
            oldest.abort();
            let reason = "too many connections without a handshake: the oldest is dropped each time";
            self.roster.crowded("handshakes", &reason);
        }
        let roster = Arc::clone(&self.roster);
        self.pending.push_back(self.handshakes.spawn(async move {
            shake_hands(stream, &roster).await.map_err(|ending| tell(&roster, address, &ending)).ok()
        }));
    }

    /// Starts to read from a peer, in place of its older connection.
    fn let_in(&mut self, socket: Socket, handshake: Handshake) {
        let key = (handshake.peer, handshake.purpose);
        if !self.roster.knows(handshake.peer) {
            return; // forgotten meanwhile
        }
        let reader = Reader::new(socket, handshake, &self.roster);
        let reader = self.readers.spawn(reader.run());
        if let Some(older) = self.current.insert(key, reader) {
            older.abort();
        }
    }

    fn end_all_of(&mut self, peer: NodeId) {
        self.current.retain(|(from, _), reader| {
            let stays = *from != peer;
            if !stays {
                reader.abort();
            }
            stays
        });
    }
}

async fn shake_hands(stream: TcpStream, roster: &Roster) -> Result<(Socket, Handshake), Ending> {
    stream.set_nodelay(true)?;
    let wait_max = roster.options.handshake_wait_max;
    let answer = async {
        let mut socket = roster.security.answer(stream).await?;
        let handshake = Handshake::answer(&mut socket, roster).await?;
        Ok((socket, handshake))
    };
    timeout(wait_max, answer).await.unwrap_or(Err(Ending::Late { wait_max }))
}

/// Tells why a caller was not let in.
fn tell(roster: &Roster, address: SocketAddr, ending: &Ending) {
    let me = roster.identity.node;
    match ending {
        Ending::Refused(_) => {} // told already
        Ending::Closed => debug!(%address, "a caller left without a word"),
        Ending::Frame(FrameError::Magic { first: TLS }) => {
            let reason = format!(
                "somebody called node {me} from {address} with TLS, and node {me} was given none; use TLS on all nodes or on none"
            );
            roster.turned_away(address, "encryption", reason);
        }
        #[cfg(feature = "tls")]
        Ending::Tls { error } => match crate::tls::complaint(error, me, address) {
            Some(complaint) => roster.turned_away(address, "certificate", complaint),
            None => roster.dropped(address, ending.name(), ending),
        },
        ending => roster.dropped(address, ending.name(), ending),
    }
}
