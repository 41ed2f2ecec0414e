//! Somebody who speaks the protocol by hand, well or badly. Written from `docs/wire-format.md`, not from the crate, so
//! that the two prove each other.

use std::net::SocketAddr;
use std::time::Duration;

use consensus_api::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub(crate) const HELLO: u8 = 1;
pub(crate) const REFUSAL: u8 = 2;
pub(crate) const MESSAGE: u8 = 3;
pub(crate) const PING: u8 = 4;
pub(crate) const PONG: u8 = 5;

const PATIENCE: Duration = Duration::from_secs(20);

/// A frame's fields, to be set wrongly at will.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) lane: u8,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) sequence: u32,
}

impl Wire {
    pub(crate) fn hello(hello: &[u8]) -> Self {
        let (head, body) = (hello.to_vec(), Vec::new());
        Self { version: 0, kind: HELLO, flags: 1, lane: 0, head, body, sequence: 0 }
    }

    pub(crate) fn message(sequence: u32, head: &[u8]) -> Self {
        let (head, body) = (head.to_vec(), Vec::new());
        Self { version: 1, kind: MESSAGE, flags: 1, lane: 1, head, body, sequence }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"qF".to_vec();
        out.extend([self.version, self.kind]);
        out.extend(self.flags.to_le_bytes());
        out.extend([self.lane, 0]);
        out.extend((self.head.len() as u32).to_le_bytes());
        out.extend((self.body.len() as u32).to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        let payload = [&self.head[..], &self.body].concat();
        out.extend(crc32c::crc32c(&payload).to_le_bytes());
        out.extend(crc32c::crc32c(&out).to_le_bytes());
        out.extend(payload);
        out
    }
}

/// A hello's payload.
pub(crate) fn hello(versions: [u8; 2], me: &Identity, to: u64) -> Vec<u8> {
    let mut out = versions.to_vec();
    out.extend([0, 0]);
    out.extend((1u32 << 24).to_le_bytes());
    out.extend(me.node.0.to_le_bytes());
    out.extend(to.to_le_bytes());
    out.extend(me.store.0.to_le_bytes());
    out.extend(me.incarnation.0.to_le_bytes());
    for name in [me.cluster.as_str(), me.engine.0] {
        out.push(name.len() as u8);
        out.extend(name.as_bytes());
    }
    out.extend(1u32.to_le_bytes()); // offers to skip frames of other groups
    out.extend([0; 4 + 32]); // demands nothing, and needs no nonce
    out
}

pub(crate) struct Speaker {
    pub(crate) stream: TcpStream,
}

impl Speaker {
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Dials and is let in.
    pub(crate) async fn greet(address: SocketAddr, me: &Identity, to: u64) -> Self {
        let mut speaker = Self::dial(address).await;
        speaker.say(&Wire::hello(&hello([1, 1], me, to)).bytes()).await;
        assert_eq!(speaker.hear().await.unwrap().kind, HELLO);
        speaker
    }

    /// Answers a dialler as the node `me`.
    pub(crate) async fn answer(listener: &TcpListener, me: &Identity, peer: u64) -> Self {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut speaker = Self { stream };
        assert_eq!(speaker.hear().await.unwrap().kind, HELLO);
        speaker.say(&Wire::hello(&hello([1, 1], me, peer)).bytes()).await;
        speaker
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` when the other side has closed.
    pub(crate) async fn hear(&mut self) -> Option<Wire> {
        let mut header = [0; 32];
        let read =
            timeout(PATIENCE, self.stream.read_exact(&mut header)).await.expect("an answer or the end");
        read.ok()?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut head = vec![0; number(8) as usize];
        let mut body = vec![0; number(12) as usize];
        self.stream.read_exact(&mut head).await.unwrap();
        self.stream.read_exact(&mut body).await.unwrap();
        let flags = u16::from_le_bytes([header[4], header[5]]);
        let wire = Wire {
            version: header[2],
            kind: header[3],
            flags,
            lane: header[6],
            head,
            body,
            sequence: number(20),
        };
        assert_eq!(wire.bytes()[..32], header, "the header is as the document says");
        Some(wire)
    }

    /// Waits until the other side closes.
    pub(crate) async fn is_hung_up(&mut self) {
        while self.hear().await.is_some() {}
    }
}
