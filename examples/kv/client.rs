//! `kv client`: commands that are carried out exactly once, through whatever happens to the members meanwhile.
//!
//! All commands of one run share a session. Each has a number in it, by which the members know it again however often and
//! wherever it is asked for. A command that ends with an error says whether it may have happened; another run is another
//! client, so whoever sends it again from there may do it twice.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use quorate::{Client, ClientOptions as Patience};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::command::{Command, Response};
use crate::inline;
use crate::limits::Limits;
use crate::options::ClientOptions;
use crate::reply::Reply;
use crate::request::{Request, beginning};
use crate::store::Store;
use crate::transaction::{Transaction, framed};

/// How long to try to tell the members that the session is over. They forget it in any case, later.
const FAREWELL: Duration = Duration::from_secs(1);

/// Carries out what was asked for, and shows the answers.
///
/// # Errors
/// A sentence that says what is wrong, and whether the command may have happened.
pub async fn run(asked: ClientOptions) -> Result<(), String> {
    let patience = Patience { deadline: Duration::from_secs(asked.deadline), ..Patience::default() };
    let servers = asked.servers.into_iter().map(|server| (server.id, server.address));
    let client = Client::remote(asked.cluster, servers, patience);
    let mut caller = Caller { client, limits: Limits::default(), transaction: Transaction::default() };
    let done = if asked.words.is_empty() {
        caller.answer_lines().await
    } else {
        let words: Vec<Bytes> = asked.words.into_iter().map(Bytes::from).collect();
        match caller.answer(&words).await {
            Reply::Error(sentence) => Err(sentence.into_owned()),
            reply => show(&reply),
        }
    };
    let _ = timeout(FAREWELL, caller.client.close()).await;
    done
}

/// One session, and what was said in it since MULTI.
struct Caller {
    client: Client<Store>,
    limits: Limits,
    transaction: Transaction,
}

impl Caller {
    /// Answers each line of the standard input before it reads the next.
    async fn answer_lines(&mut self) -> Result<(), String> {
        let (mut answered, mut failed) = (0_u64, 0_u64);
        while let Some(line) = next_line(self.limits.request_bytes_max).await? {
            let reply = match inline::words(&line) {
                Some(words) if words.is_empty() => continue,
                Some(words) => self.answer(&words).await,
                None => {
                    Reply::error("ERR a quote in this line is not closed, or something sticks to its end")
                }
            };
            answered += 1;
            failed += u64::from(matches!(reply, Reply::Error(_)));
            show(&reply)?;
        }
        match failed {
            0 => Ok(()),
            _ => Err(format!("{failed} of {answered} commands ended with an error; the answers say which")),
        }
    }

    async fn answer(&mut self, words: &[Bytes]) -> Reply {
        let request = Request::read(words, &self.limits);
        let bytes = words.iter().map(Bytes::len).sum();
        match self.transaction.take_up(request, bytes, &self.limits) {
            Request::Answered(reply) | Request::Rejected(reply) | Request::Abandon(reply) => reply,
            Request::Command(command) => self.execute(&command).await.unwrap_or_else(|reply| reply),
            Request::Query(query) => match self.client.query(&query).await {
                Ok(Some(response)) => response.into(),
                Ok(None) => self.execute(&Command::Query(query)).await.unwrap_or_else(|reply| reply),
                Err(error) => error.into(),
            },
            Request::Execute(queue) => {
                let command = Command::Transaction { watched: Vec::new(), commands: queue.commands };
                match self.executed(&command).await {
                    Ok(response) => framed(queue.frame, response),
                    Err(reply) => reply,
                }
            }
            Request::Session(_) | Request::Admin(_) | Request::Boundary(_) => {
                let name = beginning(&words[0], 128);
                Reply::error(format!(
                    "ERR {name} belongs to a connection, and `kv client` has none; use redis-cli, or `kv admin`"
                ))
            }
        }
    }

    async fn execute(&self, command: &Command) -> Result<Reply, Reply> {
        self.executed(command).await.map(Reply::from)
    }

    async fn executed(&self, command: &Command) -> Result<Response, Reply> {
        self.client.execute(command).await.map_err(Reply::from)
    }
}

/// The next line of the standard input, without its end; `None` behind the last one.
async fn next_line(bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
    let read = move || {
        let mut line = Vec::new();
        let count = io::stdin().lock().take(bytes_max as u64).read_until(b'\n', &mut line)?;
        Ok::<_, io::Error>((count > 0).then_some(line))
    };
    let read = spawn_blocking(read).await.map_err(|error| error.to_string())?;
    let line = read.map_err(|error| format!("the standard input cannot be read: {error}"))?;
    match line {
        Some(line) if line.len() == bytes_max && !line.ends_with(b"\n") => {
            Err(format!("a line is limited to {bytes_max} bytes"))
        }
        line => Ok(line),
    }
}

/// Shows an answer: a value as it is, and what could be taken for one in parentheses.
fn show(reply: &Reply) -> Result<(), String> {
    let mut text = Vec::new();
    append(reply, &mut text);
    let mut out = io::stdout().lock();
    let shown = out.write_all(&text).and_then(|()| out.flush());
    shown.map_err(|error| format!("the answer cannot be shown: {error}"))
}

fn append(reply: &Reply, text: &mut Vec<u8>) {
    match reply {
        Reply::Simple(word) => text.extend_from_slice(word.as_bytes()),
        Reply::Error(sentence) => text.extend_from_slice(format!("(error) {sentence}").as_bytes()),
        Reply::Integer(integer) => text.extend_from_slice(integer.to_string().as_bytes()),
        Reply::Bulk(bytes) => text.extend_from_slice(bytes),
        Reply::Nil | Reply::NilArray => text.extend_from_slice(b"(nil)"),
        Reply::Array(replies) if replies.is_empty() => text.extend_from_slice(b"(none)"),
        Reply::Map(pairs) if pairs.is_empty() => text.extend_from_slice(b"(none)"),
        Reply::Array(replies) => return replies.iter().for_each(|reply| append(reply, text)),
        Reply::Map(pairs) => {
            return pairs.iter().for_each(|(key, value)| {
                append(key, text);
                append(value, text);
            });
        }
    }
    text.push(b'\n');
}
