//! [`Remote`]: the way to a member over TCP. [`Connection`]: one socket, many requests under way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use consensus_api::{Error, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::endpoint::{Endpoint, Reply, Request};
use crate::wire::{self, ANSWER_BYTES_MAX, Answered, HEADER_BYTES, MAGIC, OVERHEAD_BYTES, REFUSED, WELCOME};

/// A member's client port. Connects when it is first asked, and again after a connection ended.
#[derive(Debug)]
pub struct Remote {
    cluster: String,
    address: String,
    connection: AsyncMutex<Option<Arc<Connection>>>,
    /// The leader that the member last spoke of.
    leader: Mutex<Option<NodeId>>,
}

/// Connecting and shaking hands take at most so long.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Requests that wait to be written; more wait at their sender.
const QUEUE_MAX: usize = 256;

const CONNECTION_LOST: &str = "the connection to the member that was asked broke";

impl Remote {
    /// The way to the member whose client port is there (`host:port`), of the cluster of that name.
    pub fn new(cluster: impl Into<String>, address: impl Into<String>) -> Self {
        let (cluster, address) = (cluster.into(), address.into());
        Self { cluster, address, connection: AsyncMutex::new(None), leader: Mutex::new(None) }
    }

    async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| !connection.has_ended()) {
            return Ok(connection.clone());
        }
        let connected = timeout(CONNECT_MAX, connect(&self.address, &self.cluster)).await;
        let connected = connected.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let stream = connected.map_err(|problem| Error::Stopped {
            cause: format!("no connection to {}: {problem}", self.address).into(),
        })?;
        Ok(current.insert(Arc::new(Connection::new(stream))).clone())
    }
}

#[async_trait]
impl Endpoint for Remote {
    async fn ask(&self, request: Request) -> Result<Reply, Error> {
        let connection = self.connection().await?;
        let (leader, reply) = connection.ask(&request).await?;
        *lock(&self.leader) = leader;
        reply
    }

    fn leader(&self) -> Option<NodeId> {
        *lock(&self.leader)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole before anything can panic.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect(address: &str, cluster: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    let mut hello = MAGIC.to_vec();
    hello.push(u8::try_from(cluster.len()).map_err(|_| "the cluster's name is too long")?);
    hello.extend_from_slice(cluster.as_bytes());
    let greeted = async {
        stream.write_all(&hello).await?;
        stream.read_u8().await
    };
    match greeted.await.map_err(|error| error.to_string())? {
        WELCOME => Ok(stream),
        REFUSED => {
            let len = stream.read_u16_le().await.map_err(|error| error.to_string())?;
            let mut reason = vec![0; usize::from(len)];
            stream.read_exact(&mut reason).await.map_err(|error| error.to_string())?;
            Err(String::from_utf8_lossy(&reason).into_owned())
        }
        _ => Err("what listens there is no client port of a cluster".to_owned()),
    }
}

/// Who waits for which reply on a connection.
#[derive(Debug)]
struct Waiting {
    /// `None` once the connection has ended.
    replies: Mutex<Option<BTreeMap<u64, oneshot::Sender<Answered>>>>,
    /// When the last reply came.
    heard: Mutex<Instant>,
}

/// A connection on which a request waited so long in vain, and nothing else came either, is given up.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// One socket to a member.
#[derive(Debug)]
struct Connection {
    newest: AtomicU64,
    frames: mpsc::Sender<Bytes>,
    waiting: Arc<Waiting>,
    tasks: [JoinHandle<()>; 2],
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        let (frames, queue) = mpsc::channel(QUEUE_MAX);
        let replies = Mutex::new(Some(BTreeMap::new()));
        let waiting = Arc::new(Waiting { replies, heard: Mutex::new(Instant::now()) });
        let writing = tokio::spawn(write(writer, queue));
        let reading = tokio::spawn(read(reader, waiting.clone()));
        Self { newest: AtomicU64::new(0), frames, waiting, tasks: [writing, reading] }
    }

    fn has_ended(&self) -> bool {
        self.frames.is_closed() || lock(&self.waiting.replies).is_none()
    }

    async fn ask(&self, request: &Request) -> Result<Answered, Error> {
        let lost = Error::OutcomeUnknown { reason: CONNECTION_LOST };
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, answered) = oneshot::channel();
        let Some(_waits) = Waits::begin(&self.waiting, number, answer) else {
            return Err(Error::Stopped { cause: CONNECTION_LOST.into() });
        };
        self.frames.send(wire::encode_request(number, request)).await.map_err(|_| lost.clone())?;
        answered.await.map_err(|_| lost)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A place among those who wait, given back when nobody waits any more.
struct Waits<'a> {
    waiting: &'a Waiting,
    number: u64,
    begun: Instant,
}

impl<'a> Waits<'a> {
    fn begin(waiting: &'a Waiting, number: u64, answer: oneshot::Sender<Answered>) -> Option<Self> {
        lock(&waiting.replies).as_mut()?.insert(number, answer);
        Some(Self { waiting, number, begun: Instant::now() })
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut replies = lock(&self.waiting.replies);
        let in_vain = replies.as_mut().is_some_and(|replies| replies.remove(&self.number).is_some());
        let silent = *lock(&self.waiting.heard) < self.begun && self.begun.elapsed() >= SILENCE_MAX;
        if in_vain && silent {
            *replies = None;
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(frame) = queue.recv().await {
        if writer.write_all(&frame).await.is_err() {
            break;
        }
    }
}

/// Hands out replies until the connection ends; then everybody learns that.
async fn read(mut reader: OwnedReadHalf, waiting: Arc<Waiting>) {
    while let Ok(contents) = read_frame(&mut reader, ANSWER_BYTES_MAX + OVERHEAD_BYTES).await {
        let Ok((number, answered)) = wire::decode_reply(contents) else { break };
        *lock(&waiting.heard) = Instant::now();
        let waits = lock(&waiting.replies).as_mut().and_then(|replies| replies.remove(&number));
        if let Some(waits) = waits {
            // Whoever asked may have given up.
            let _ = waits.send(answered);
        }
    }
    *lock(&waiting.replies) = None;
}

async fn read_frame(reader: &mut OwnedReadHalf, bytes_max: usize) -> Result<Bytes, ()> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).await.map_err(drop)?;
    let (len, checksum) = wire::header(&header).map_err(drop)?;
    if len > bytes_max {
        return Err(());
    }
    let mut contents = vec![0; len];
    reader.read_exact(&mut contents).await.map_err(drop)?;
    wire::check(&contents, checksum).map_err(drop)?;
    Ok(contents.into())
}
