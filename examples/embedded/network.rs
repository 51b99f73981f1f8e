//! The network of the Raft nodes: one request and one reply a TCP connection, as JSON; each ends with its direction of
//! the stream.

use std::io;

use openraft::{
    BasicNode, OptionalSend, Raft, RaftNetwork, RaftNetworkFactory, Snapshot, SnapshotMeta, Vote,
    error::{Fatal, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::store::{KeyValue, State};

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Append(AppendEntriesRequest<KeyValue>),
    Vote(VoteRequest<u16>),
    Snapshot { vote: Vote<u16>, meta: SnapshotMeta<u16, BasicNode>, state: Box<State> },
}

/// Answers the other Raft nodes, until the listener fails.
pub(crate) async fn serve(listener: TcpListener, raft: Raft<KeyValue>) -> io::Result<()> {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        open.spawn(answer(stream, raft.clone()));
        // The caller repeats one that breaks off.
        while open.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, raft: Raft<KeyValue>) -> io::Result<()> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let reply = match serde_json::from_slice(&bytes)? {
        Request::Append(request) => serde_json::to_vec(&raft.append_entries(request).await),
        Request::Vote(request) => serde_json::to_vec(&raft.vote(request).await),
        Request::Snapshot { vote, meta, state } => {
            serde_json::to_vec(&raft.install_full_snapshot(vote, Snapshot { meta, snapshot: state }).await)
        }
    }?;
    stream.write_all(&reply).await
}

/// Connects to the other Raft nodes.
pub(crate) struct Network;

impl RaftNetworkFactory<KeyValue> for Network {
    type Network = Remote;

    async fn new_client(&mut self, target: u16, node: &BasicNode) -> Remote {
        Remote { target, addr: node.addr.clone() }
    }
}

/// Another Raft node.
pub(crate) struct Remote {
    target: u16,
    addr: String,
}

impl Remote {
    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Unreachable> {
        self.exchange(request).await.map_err(|error| Unreachable::new(&error))
    }

    async fn exchange<T: DeserializeOwned>(&self, request: &Request) -> io::Result<T> {
        let mut stream = TcpStream::connect(&self.addr).await?;
        stream.write_all(&serde_json::to_vec(request)?).await?;
        stream.shutdown().await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn refused<E: std::error::Error>(&self, error: E) -> RemoteError<u16, BasicNode, E> {
        RemoteError::new(self.target, error)
    }
}

type Asked<T> = Result<T, RPCError<u16, BasicNode, RaftError<u16>>>;

impl RaftNetwork<KeyValue> for Remote {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<KeyValue>,
        _option: RPCOption,
    ) -> Asked<AppendEntriesResponse<u16>> {
        let reply: Result<_, RaftError<u16>> = self.ask(&Request::Append(request)).await?;
        Ok(reply.map_err(|error| self.refused(error))?)
    }

    async fn vote(&mut self, request: VoteRequest<u16>, _option: RPCOption) -> Asked<VoteResponse<u16>> {
        let reply: Result<_, RaftError<u16>> = self.ask(&Request::Vote(request)).await?;
        Ok(reply.map_err(|error| self.refused(error))?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u16>,
        Snapshot { meta, snapshot: state }: Snapshot<KeyValue>,
        cancelled: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u16>, StreamingError<KeyValue, Fatal<u16>>> {
        let request = Request::Snapshot { vote, meta, state };
        let reply: Result<_, Fatal<u16>> = tokio::select! {
            closed = cancelled => return Err(closed.into()),
            reply = self.ask(&request) => reply?,
        };
        Ok(reply.map_err(|error| self.refused(error))?)
    }
}
