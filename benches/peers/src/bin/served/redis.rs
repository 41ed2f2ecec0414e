//! SET and GET in the Redis protocol; a connection per client.

use quorate_peers::load::Failure;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{Client, Request, VALUE_BYTES};

/// A client's connection. Only its own client locks it.
pub(crate) struct Connection(Mutex<BufReader<TcpStream>>);

impl Connection {
    async fn to(member: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(member).await?;
        socket.set_nodelay(true)?;
        Ok(Self(Mutex::new(BufReader::new(socket))))
    }

    /// Sends a command; the answer is a simple string, or a bulk string without its frame.
    async fn call(&self, command: &[&[u8]]) -> Result<Vec<u8>, Failure> {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        let mut socket = self.0.lock().await;
        socket.get_mut().write_all(&bytes).await?;
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+", text)) => Ok(text.as_bytes().to_vec()),
            Some(("$", len)) => {
                let len = len.parse::<usize>().map_err(|_| "kv does not hold a key that was put")?;
                let mut body = vec![0; len + 2];
                socket.read_exact(&mut body).await?;
                body.truncate(len);
                Ok(body)
            }
            _ => Err(format!("kv answered {line:?}").into()),
        }
    }
}

impl Client for Connection {
    async fn connect(members: &[String], clients: usize) -> Result<Vec<Self>, Failure> {
        for member in members {
            let info = Self::to(member).await?.call(&[b"INFO"]).await?;
            if String::from_utf8_lossy(&info).contains("role:leader") {
                let mut connections = Vec::with_capacity(clients);
                for _ in 0..clients {
                    connections.push(Self::to(member).await?);
                }
                return Ok(connections);
            }
        }
        Err("no member of kv leads".into())
    }

    async fn ask(&self, request: Request, key: String) -> Result<(), Failure> {
        match request {
            Request::Put => self.call(&[b"SET", key.as_bytes(), &[b'7'; VALUE_BYTES]]).await?,
            Request::Get => self.call(&[b"GET", key.as_bytes()]).await?,
        };
        Ok(())
    }
}
