//! [`ClientPort`]: where a member takes the requests of clients over TCP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{Error, Queryable};
use node::Node;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::endpoint::{Reply, Request, answer};
use crate::wire::{self, Answered, HEADER_BYTES, MAGIC, OVERHEAD_BYTES, REFUSED, WELCOME};

/// Bounds of a client port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientPortOptions {
    /// Connections at one time; one more is refused in words. 1024 by default.
    pub connections_max: usize,
    /// Requests of one connection under way at one time; more wait in the socket. 128 by default.
    pub requests_max: usize,
    /// Bytes of requests of all connections under way; more wait in their sockets. 64 MiB by default.
    pub bytes_max: usize,
    /// A connection on which nothing is asked for so long is closed. 10 min by default.
    pub idle_max: Duration,
    /// Greeting, one frame once it has begun, and one answer may each take so long. 10 s by default.
    pub frame_max: Duration,
}

impl Default for ClientPortOptions {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 128,
            bytes_max: 64 << 20,
            idle_max: Duration::from_secs(600),
            frame_max: Duration::from_secs(10),
        }
    }
}

/// A member's client port: takes requests until it is dropped.
///
/// For networks you trust: there is no encryption and no authentication. What does not make sense closes its connection.
#[derive(Debug)]
pub struct ClientPort {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl ClientPort {
    /// Opens the port on a node. Port 0 is any free one.
    ///
    /// # Errors
    /// Whatever the system reports, such as an address in use.
    pub async fn open<S: Queryable, D: 'static>(
        address: impl ToSocketAddrs,
        node: Node<S, D>,
        options: ClientPortOptions,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            bytes: Arc::new(Semaphore::new(options.bytes_max.min(Semaphore::MAX_PERMITS))),
            frame_bytes_max: node.command_bytes_max() + OVERHEAD_BYTES,
            cluster: node.cluster().to_string(),
            node,
            options,
        });
        Ok(Self { address, accepting: tokio::spawn(accept(listener, shared)) })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ClientPort {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What all connections of a port share.
struct Shared<S: Queryable, D> {
    node: Node<S, D>,
    cluster: String,
    options: ClientPortOptions,
    frame_bytes_max: usize,
    bytes: Arc<Semaphore>,
}

/// After an accept that failed (too many open files, say) the port takes a rest.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept<S: Queryable, D: 'static>(listener: TcpListener, shared: Arc<Shared<S, D>>) {
    // Dropping the set ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let full = connections.len() >= shared.options.connections_max;
                    if full && connections.len() >= 2 * shared.options.connections_max {
                        // Not even a refusal is owed to so many.
                        continue;
                    }
                    connections.spawn(serve(stream, shared.clone(), full));
                }
                Err(error) => {
                    tracing::warn!("a client could not be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<S: Queryable, D: 'static>(mut stream: TcpStream, shared: Arc<Shared<S, D>>, full: bool) {
    let _ = stream.set_nodelay(true);
    let frame_max = shared.options.frame_max;
    if !matches!(timeout(frame_max, greet(&mut stream, &shared.cluster, full)).await, Ok(Ok(true))) {
        return;
    }
    let (reader, writer) = stream.into_split();
    let (replies, queue) = mpsc::channel(shared.options.requests_max.max(1));
    tokio::select! {
        () = take_requests(reader, shared, replies) => {}
        () = write(writer, queue, frame_max) => {}
    }
}

/// Whether the client is one of ours, and there is room for it.
async fn greet(stream: &mut TcpStream, cluster: &str, full: bool) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Ok(false);
    }
    let mut name = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut name).await?;
    let refusal = if full {
        "the member has as many clients as it takes; try another, or later".to_owned()
    } else if name != cluster.as_bytes() {
        format!("it belongs to the cluster {cluster}, not to {}", String::from_utf8_lossy(&name))
    } else {
        stream.write_u8(WELCOME).await?;
        return Ok(true);
    };
    stream.write_u8(REFUSED).await?;
    stream.write_u16_le(refusal.len() as u16).await?;
    stream.write_all(refusal.as_bytes()).await?;
    Ok(false)
}

/// A frame on its way out, and the share of the port's budget that its request held.
type Outgoing = (Bytes, OwnedSemaphorePermit);

async fn take_requests<S: Queryable, D: 'static>(
    mut reader: OwnedReadHalf,
    shared: Arc<Shared<S, D>>,
    replies: mpsc::Sender<Outgoing>,
) {
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() >= shared.options.requests_max.max(1) {
            under_way.join_next().await;
        }
        while under_way.try_join_next().is_some() {}
        let Some((contents, budget)) = next_frame(&mut reader, &shared).await else { break };
        let Ok((number, request)) = wire::decode_request(contents) else { break };
        let (shared, replies) = (shared.clone(), replies.clone());
        under_way.spawn(async move {
            let frame = wire::encode_reply(number, &answered(&shared, request).await);
            // The client may be gone.
            let _ = replies.send((frame, budget)).await;
        });
    }
}

async fn answered<S: Queryable, D>(shared: &Shared<S, D>, request: Request) -> Answered {
    let reply = answer(&shared.node, request).await;
    let reply = match reply {
        Ok(Reply::Query(answer)) if answer.len() > wire::ANSWER_BYTES_MAX => {
            Err(Error::TooLarge { bytes: answer.len(), bytes_max: wire::ANSWER_BYTES_MAX })
        }
        reply => reply,
    };
    (shared.node.status().leader, reply)
}

/// The next request's frame. `None` at the end of the connection: closed, idle, or not to be understood.
async fn next_frame<S: Queryable, D>(
    reader: &mut OwnedReadHalf,
    shared: &Shared<S, D>,
) -> Option<(Bytes, OwnedSemaphorePermit)> {
    let mut header = [0; HEADER_BYTES];
    timeout(shared.options.idle_max, reader.read_exact(&mut header)).await.ok()?.ok()?;
    let (len, checksum) = wire::header(&header).ok()?;
    if len > shared.frame_bytes_max {
        return None;
    }
    let share = u32::try_from((len + OVERHEAD_BYTES).min(shared.options.bytes_max)).ok()?;
    let budget = shared.bytes.clone().acquire_many_owned(share).await.ok()?;
    let contents = within(shared.options.frame_max, async {
        let mut contents = vec![0; len];
        reader.read_exact(&mut contents).await.map(|_| contents)
    });
    let contents = contents.await?;
    wire::check(&contents, checksum).ok()?;
    Some((contents.into(), budget))
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Outgoing>, frame_max: Duration) {
    while let Some((frame, _budget)) = queue.recv().await {
        if within(frame_max, writer.write_all(&frame)).await.is_none() {
            break;
        }
    }
}

async fn within<T>(max: Duration, work: impl Future<Output = io::Result<T>>) -> Option<T> {
    timeout(max, work).await.ok()?.ok()
}
