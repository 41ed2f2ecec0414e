//! As much of etcd's gRPC interface as is measured; field numbers as in its `rpc.proto`.

use prost::Message;
use quorate_peers::load::Failure;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{Client, Request, VALUE_BYTES};

/// So many clients share a connection: HTTP/2 carries many requests at once.
const CLIENTS_PER_CONNECTION: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member: u64,
}

#[derive(Clone, PartialEq, Message)]
struct PutAnswer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeAnswer {
    #[prost(int64, tag = "4")]
    count: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Status {}

#[derive(Clone, PartialEq, Message)]
struct StatusAnswer {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// A client's share of a connection.
pub(crate) struct Connection(Grpc<Channel>);

async fn call<Q, A>(client: &Grpc<Channel>, path: &'static str, request: Q) -> Result<A, Failure>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = client.clone();
    client.ready().await?;
    let codec = ProstCodec::<Q, A>::default();
    Ok(client.unary(tonic::Request::new(request), path.parse()?, codec).await?.into_inner())
}

async fn connect(member: &str) -> Result<Grpc<Channel>, Failure> {
    Ok(Grpc::new(Endpoint::from_shared(format!("http://{member}"))?.tcp_nodelay(true).connect().await?))
}

impl Client for Connection {
    async fn connect(members: &[String], clients: usize) -> Result<Vec<Self>, Failure> {
        for member in members {
            let first = connect(member).await?;
            let status: StatusAnswer = call(&first, "/etcdserverpb.Maintenance/Status", Status {}).await?;
            if status.header.is_some_and(|header| header.member == status.leader) {
                let mut connections = vec![first];
                while connections.len() * CLIENTS_PER_CONNECTION < clients {
                    connections.push(connect(member).await?);
                }
                let share = |client: usize| Self(connections[client % connections.len()].clone());
                return Ok((0..clients).map(share).collect());
            }
        }
        Err("no member of etcd leads".into())
    }

    async fn ask(&self, request: Request, key: String) -> Result<(), Failure> {
        let key = key.into_bytes();
        match request {
            Request::Put => {
                let put = Put { key, value: vec![7; VALUE_BYTES] };
                let _: PutAnswer = call(&self.0, "/etcdserverpb.KV/Put", put).await?;
            }
            Request::Get => {
                let answer: RangeAnswer = call(&self.0, "/etcdserverpb.KV/Range", Range { key }).await?;
                if answer.count != 1 {
                    return Err("etcd does not hold a key that was put".into());
                }
            }
        }
        Ok(())
    }
}
