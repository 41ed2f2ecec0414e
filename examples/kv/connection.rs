//! [`Connection`]: one client, from its socket to its pipeline and back.
//!
//! Each round reads what has arrived, takes up every command in it, and writes all answers that are ready at once. A
//! client that sends faster than it is served, or does not read its answers, is simply not read from.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::Limits;
use crate::parser::Parser;
use crate::pipeline::Pipeline;
use crate::reply::Reply;
use crate::request::Request;
use crate::session::{Session, Surroundings};
use crate::transaction::Transaction;

/// What is read from a socket at once, in bytes.
const READ_BYTES: usize = 16 << 10;
/// Answers beyond this are written before more are gathered.
const WRITE_BYTES: usize = 256 << 10;
/// How long a client that is sent away may take to hear why.
const FAREWELL: Duration = Duration::from_secs(1);

/// One client.
pub struct Connection<A> {
    stream: TcpStream,
    session: Session,
    transaction: Transaction,
    limits: Limits,
    pipeline: Pipeline,
    parser: Parser,
    input: BytesMut,
    words: Vec<Bytes>,
    /// A command that waits for those before it.
    held_back: Option<Request>,
    output: BytesMut,
    state: State,
    /// Tells what INFO and CONFIG ask for.
    around: A,
}

/// Whether more is expected of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// It has sent all that it will. What it sent is still answered.
    Finished,
    /// Nothing more is taken from it, and it is sent away once it has its answers.
    Leaving,
}

impl<A: Fn() -> Surroundings> Connection<A> {
    pub fn new(stream: TcpStream, id: u64, limits: Limits, pipeline: Pipeline, around: A) -> Self {
        Self {
            stream,
            session: Session::new(id),
            transaction: Transaction::default(),
            limits,
            pipeline,
            parser: Parser::new(limits.request_bytes_max),
            input: BytesMut::new(),
            words: Vec::new(),
            held_back: None,
            output: BytesMut::new(),
            state: State::Open,
            around,
        }
    }

    /// Serves the client until it leaves or is sent away.
    pub async fn run(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        loop {
            poll_fn(|cx| {
                self.advance(cx);
                Poll::Ready(())
            })
            .await;
            if !self.output.is_empty() {
                self.stream.write_all_buf(&mut self.output).await?;
            } else if self.pipeline.is_empty() && self.held_back.is_none() && self.state != State::Open {
                return part(self.stream).await;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Takes up what has arrived, and gathers the answers that are ready.
    fn advance(&mut self, cx: &mut Context<'_>) {
        while self.pipeline.len() < self.limits.pipeline_depth_max {
            let Some(request) = self.held_back.take().or_else(|| self.next_request()) else { break };
            let request = match request {
                Request::Session(words) if self.pipeline.is_empty() => {
                    let reply = self.session.answer(&words, &self.around);
                    self.pipeline.level = self.session.level;
                    Request::Answered(reply)
                }
                request => request,
            };
            if let Err(request) = self.pipeline.offer(cx, request) {
                self.held_back = Some(request);
                break;
            }
            if self.session.quits {
                self.state = State::Leaving;
            }
        }
        self.pipeline.send_burst();
        self.pipeline.gather(cx, self.session.protocol, &mut self.output, WRITE_BYTES);
    }

    /// The next command that has arrived whole.
    fn next_request(&mut self) -> Option<Request> {
        if self.state == State::Leaving {
            return None;
        }
        match self.parser.next(&mut self.input, &mut self.words) {
            Ok(true) => {
                let request = Request::read(&self.words, &self.limits);
                let bytes = self.words.iter().map(Bytes::len).sum();
                // Lets go of the input, so that its memory can take what comes next.
                self.words.clear();
                Some(self.transaction.take_up(request, bytes, &self.limits))
            }
            Ok(false) => None,
            Err(error) => {
                self.state = State::Leaving;
                Some(Request::Answered(Reply::error(error.to_string())))
            }
        }
    }

    /// Waits for an answer, or for more from the client if there is room for it.
    async fn wait(&mut self) -> io::Result<()> {
        let has_room = self.held_back.is_none() && self.pipeline.len() < self.limits.pipeline_depth_max;
        let reads = self.state == State::Open && has_room;
        if reads && self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.pipeline.poll_first(cx)) => {}
            read = self.stream.read_buf(&mut self.input), if reads => {
                if read? == 0 {
                    self.state = State::Finished;
                }
            }
        }
        Ok(())
    }
}

/// Closes a connection. A client that is still sending would lose the last answer if its bytes were not taken in for a
/// while.
pub async fn part(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = tokio::io::sink();
    let drain = tokio::io::copy(&mut stream, &mut sink);
    timeout(FAREWELL, drain).await.map_or(Ok(()), |copied| copied.map(drop))
}
