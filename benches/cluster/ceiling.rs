//! The ceiling: the data path of a replicated log without the log's meaning. Three files, each written and synced by a
//! thread; sockets over the loopback; the leader's disk works beside the network; what queues leaves together. No terms,
//! no checksums, no state machine, no recovery. Nobody who does all that can be faster on this machine, by much.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc as threads;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const FILE_BYTES: usize = 64 << 20;
/// Frames on their way to a follower; what queues meanwhile leaves in the next.
const FRAMES_MAX: usize = 4;
/// Proposals taken in at once.
const INTAKE_MAX: usize = 4096;

/// Bytes that end with entry `last`.
struct Block {
    last: u64,
    bytes: Vec<u8>,
}

struct Proposal {
    payload: Vec<u8>,
    done: oneshot::Sender<()>,
}

/// Something that the leader waits for.
enum News {
    /// Disk or follower `0 ..= 2` has everything up to this entry on disk.
    Durable(usize, u64),
}

/// The leader's end of it.
pub(crate) struct Ceiling {
    proposals: mpsc::UnboundedSender<Proposal>,
    tasks: Vec<JoinHandle<io::Result<()>>>,
}

impl Ceiling {
    /// Starts three nodes with files in this folder.
    pub(crate) async fn start(dir: &Path) -> io::Result<Self> {
        let (proposals, intake) = mpsc::unbounded_channel();
        let (news, hears) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        let mut followers = Vec::new();
        for follower in [1, 2] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let socket = TcpStream::connect(listener.local_addr()?).await?;
            let (accepted, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            accepted.set_nodelay(true)?;
            let file = zeros(&dir.join(follower.to_string()))?;
            tasks.push(tokio::spawn(follow(accepted, file)));
            let (reader, mut writer) = socket.into_split();
            let (frames, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
            tasks.push(tokio::spawn(async move {
                while let Some(frame) = queue.recv().await {
                    writer.write_all(&frame).await?;
                }
                Ok(())
            }));
            tasks.push(tokio::spawn(hear(reader, follower, news.clone())));
            followers.push(Follower { frames, waiting: Vec::new(), last: 0, under_way: VecDeque::new() });
        }
        let file = zeros(&dir.join("0"))?;
        let disk = disk(file, move |last| {
            // The leader may have stopped meanwhile.
            let _ = news.send(News::Durable(0, last));
        });
        tasks.push(tokio::spawn(lead(intake, hears, disk, followers)));
        Ok(Self { proposals, tasks })
    }

    /// Writes a payload; done when two of three have it on disk.
    pub(crate) fn write(&self, payload: Vec<u8>) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        // A leader that is gone drops the proposal, and the answer says so.
        let _ = self.proposals.send(Proposal { payload, done });
        answer
    }

    pub(crate) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn zeros(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create_new(true).write(true).open(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    Ok(file)
}

/// A thread that writes and syncs what queues, together, and then says up to where.
fn disk(file: File, durable: impl Fn(u64) + Send + 'static) -> threads::Sender<Block> {
    let (sender, queue) = threads::channel::<Block>();
    thread::spawn(move || -> io::Result<()> {
        let (mut offset, mut buffer) = (0, Vec::new());
        while let Ok(Block { mut last, bytes }) = queue.recv() {
            buffer.clear();
            buffer.extend_from_slice(&bytes);
            for block in queue.try_iter() {
                buffer.extend_from_slice(&block.bytes);
                last = block.last;
            }
            if offset + buffer.len() > FILE_BYTES {
                offset = 0;
            }
            file.write_all_at(&buffer, offset as u64)?;
            file.sync_data()?;
            offset += buffer.len();
            durable(last);
        }
        Ok(())
    });
    sender
}

/// Takes in frames, and acknowledges what its disk has.
async fn follow(socket: TcpStream, file: File) -> io::Result<()> {
    let (reader, mut writer) = socket.into_split();
    let (synced, mut acks) = mpsc::unbounded_channel();
    let disk = disk(file, move |last| {
        // The follower may have stopped meanwhile.
        let _ = synced.send(last);
    });
    let acknowledge = tokio::spawn(async move {
        while let Some(last) = acks.recv().await {
            writer.write_all(&u64::to_le_bytes(last)).await?;
        }
        io::Result::Ok(())
    });
    let mut reader = BufReader::with_capacity(256 << 10, reader);
    while let Ok(last) = reader.read_u64_le().await {
        let len = reader.read_u32_le().await?;
        let mut bytes = vec![0; len as usize];
        reader.read_exact(&mut bytes).await?;
        if disk.send(Block { last, bytes }).is_err() {
            break;
        }
    }
    acknowledge.abort();
    Ok(())
}

/// Passes on a follower's acknowledgements.
async fn hear(reader: OwnedReadHalf, follower: usize, news: mpsc::UnboundedSender<News>) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Ok(last) = reader.read_u64_le().await {
        let _ = news.send(News::Durable(follower, last));
    }
    Ok(())
}

struct Follower {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Vec<u8>,
    /// The last entry in `waiting`.
    last: u64,
    /// The last entries of the frames under way.
    under_way: VecDeque<u64>,
}

impl Follower {
    fn send(&mut self) {
        if self.waiting.is_empty() || self.under_way.len() >= FRAMES_MAX {
            return;
        }
        let mut frame = Vec::with_capacity(self.waiting.len() + 12);
        frame.extend_from_slice(&self.last.to_le_bytes());
        frame.extend_from_slice(&u32::try_from(self.waiting.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.append(&mut self.waiting);
        self.under_way.push_back(self.last);
        let _ = self.frames.send(frame);
    }
}

async fn lead(
    mut intake: mpsc::UnboundedReceiver<Proposal>,
    mut hears: mpsc::UnboundedReceiver<News>,
    disk: threads::Sender<Block>,
    mut followers: Vec<Follower>,
) -> io::Result<()> {
    let mut last = 0;
    let mut durable = [0; 3];
    let mut waiting: VecDeque<(u64, oneshot::Sender<()>)> = VecDeque::new();
    let mut proposals = Vec::new();
    loop {
        tokio::select! {
            Some(News::Durable(who, upto)) = hears.recv() => {
                durable[who] = upto;
                let mut sorted = durable;
                sorted.sort_unstable();
                while waiting.front().is_some_and(|(entry, _)| *entry <= sorted[1]) {
                    if let Some((_, done)) = waiting.pop_front() {
                        // Whoever waited may be gone.
                        let _ = done.send(());
                    }
                }
                if let Some(follower) = who.checked_sub(1).map(|at| &mut followers[at]) {
                    while follower.under_way.front().is_some_and(|frame| *frame <= upto) {
                        follower.under_way.pop_front();
                    }
                    follower.send();
                }
            }
            count = intake.recv_many(&mut proposals, INTAKE_MAX) => {
                if count == 0 {
                    return Ok(());
                }
                let mut bytes = Vec::new();
                for Proposal { payload, done } in proposals.drain(..) {
                    last += 1;
                    bytes.extend_from_slice(&payload);
                    waiting.push_back((last, done));
                }
                for follower in &mut followers {
                    follower.waiting.extend_from_slice(&bytes);
                    follower.last = last;
                    follower.send();
                }
                let _ = disk.send(Block { last, bytes });
            }
        }
    }
}
