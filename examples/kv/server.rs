//! [`serve`]: lets clients in, each as a task of the runtime that the node runs on as well. Between a client and the
//! node no thread is woken.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate::Node;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::connection::{Connection, part};
use crate::limits::Limits;
use crate::pipeline::Pipeline;
use crate::session::Surroundings;
use crate::store::Store;

/// How long to wait when the system grants no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Of those for whom there is no room: how many are told so at a time. The others find the connection closed.
const TURNED_AWAY_MAX: usize = 64;

/// What every connection knows of its server. There are as many others who hold it as there are clients.
struct Server {
    node: Node<Store>,
    limits: Limits,
    port: u16,
    since: Instant,
}

/// Serves clients until `stopping` is done. Who is connected then stays so for as long as the returned set lives.
pub async fn serve(
    listener: TcpListener,
    node: Node<Store>,
    limits: Limits,
    stopping: impl Future<Output = ()>,
) -> io::Result<JoinSet<()>> {
    let port = listener.local_addr()?.port();
    let server = Arc::new(Server { node, limits, port, since: Instant::now() });
    let (mut clients, mut turned_away, mut next_id) = (JoinSet::new(), JoinSet::new(), 1);
    let mut stopping = std::pin::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return Ok(clients),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() >= limits.connections_max => {
                    if turned_away.len() < TURNED_AWAY_MAX {
                        turned_away.spawn(turn_away(stream));
                    }
                }
                Ok((stream, _)) => {
                    clients.spawn(attend(server.clone(), stream, next_id));
                    next_id += 1;
                }
                Err(error) => {
                    eprintln!("kv: cannot take in a client: {error}");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
            Some(_) = turned_away.join_next() => {}
        }
    }
}

/// Serves one client. Whatever goes wrong with its socket is the end of it, and nobody else's concern.
async fn attend(server: Arc<Server>, stream: TcpStream, id: u64) {
    let pipeline = Pipeline::new(server.node.clone());
    let limits = server.limits;
    let around = move || Surroundings {
        status: server.node.status(),
        limits,
        port: server.port,
        connections: Arc::strong_count(&server) - 1,
        uptime_seconds: server.since.elapsed().as_secs(),
    };
    let _ = Connection::new(stream, id, limits, pipeline, around).run().await;
}

/// Tells a client that there is no room for it.
async fn turn_away(mut stream: TcpStream) {
    if stream.write_all(b"-ERR max number of clients reached\r\n").await.is_ok() {
        let _ = part(stream).await;
    }
}
