//! A client of the API, over TCP or a unix socket: one connection a request.

use std::{io, net::IpAddr, net::Ipv4Addr, net::Ipv6Addr, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use crate::{
    api::{self, INDEX_HEADER, founding::Bootstrap},
    config::HttpAddr,
    token::Token,
};

/// The path of the decision, without the server's own question.
pub(super) const LOOK: &str = "/v1/bootstrap?look=true";

/// Time for an answer beside the wait that was asked for: loopback takes a millisecond, a join of many silent addresses
/// some seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// An agent that did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or the network is in the way.
    #[error("cannot reach the agent at {at}: {error}: is it running? --http says where")]
    Unreachable {
        /// The agent's address.
        at: HttpAddr,
        /// The reason, in the system's words.
        error: String,
    },
    /// The connection broke before the answer was whole.
    #[error("the agent at {at} broke off its answer: {error}: did it stop?")]
    Broken {
        /// The agent's address.
        at: HttpAddr,
        /// The broken part.
        error: hyper::Error,
    },
    /// No answer came in time.
    #[error("the agent at {at} did not answer within {} s: is it overloaded or paused?", within.as_secs())]
    Silent {
        /// The agent's address.
        at: HttpAddr,
        /// The time it had.
        within: Duration,
    },
    /// The agent refuses.
    #[error("the agent at {at} refused {path}: {detail}")]
    Refused {
        /// The agent's address.
        at: HttpAddr,
        /// The path that was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The agent's reason.
        detail: String,
    },
    /// Something else listens there, or another version.
    #[error("the answer of {at} to {path} is not that of a chronik-agent: {error}: --http says where it is")]
    NotUnderstood {
        /// The agent's address.
        at: HttpAddr,
        /// The path that was asked for.
        path: String,
        /// The mistake in the answer.
        error: String,
    },
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The `X-Chronik-Index` header, if there is one.
    pub(super) index: Option<u64>,
    /// The body.
    pub(super) body: Bytes,
}

/// A client of the agent at one address.
#[derive(Debug, Clone)]
pub(super) struct Client {
    at: HttpAddr,
    token: Option<Token>,
}

impl Client {
    pub(super) fn new(at: HttpAddr, token: Option<Token>) -> Self {
        let at = match at {
            HttpAddr::Tcp(addr) if addr.ip().is_unspecified() => {
                let loopback: IpAddr =
                    if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
                HttpAddr::Tcp(SocketAddr::new(loopback, addr.port()))
            }
            at @ (HttpAddr::Tcp(_) | HttpAddr::Unix(_)) => at,
        };
        Self { at, token }
    }

    /// Asks for `path`; `wait` is how long the request itself asks the agent to wait.
    pub(super) async fn get(&self, path: &str, wait: Duration) -> Result<Answer, ClientError> {
        self.request(Method::GET, path, Bytes::new(), wait).await
    }

    /// Asks for `path` as it is now, and reads the answer.
    pub(super) async fn read_now<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(path, &self.get(path, Duration::ZERO).await?)
    }

    /// The decision, without the server's own question.
    pub(super) async fn known(&self) -> Result<Bootstrap, ClientError> {
        self.read_now(LOOK).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(path, &self.post_bytes(path, body(request)).await?)
    }

    /// Sends a body as it is; empty for none.
    pub(super) async fn post_bytes(&self, path: &str, body: Bytes) -> Result<Answer, ClientError> {
        self.request(Method::POST, path, body, Duration::ZERO).await
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.read(path, &self.request(Method::PUT, path, body(request), Duration::ZERO).await?)
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(path, &self.request(Method::DELETE, path, Bytes::new(), Duration::ZERO).await?)
    }

    /// Reads an answer to `path`.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|error| self.not_understood(path, error.to_string()))
    }

    fn not_understood(&self, path: &str, error: String) -> ClientError {
        let (at, path) = (self.at.clone(), path.to_owned());
        ClientError::NotUnderstood { at, path, error }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<Answer, ClientError> {
        let within = wait + ANSWER_WITHIN;
        let asked = async {
            match &self.at {
                HttpAddr::Tcp(addr) => {
                    let stream = TcpStream::connect(addr).await.map_err(|error| self.unreachable(&error))?;
                    self.exchange(stream, method, path, body).await
                }
                HttpAddr::Unix(socket) => {
                    let stream =
                        UnixStream::connect(socket).await.map_err(|error| self.unreachable(&error))?;
                    self.exchange(stream, method, path, body).await
                }
            }
        };
        let silent = |_| ClientError::Silent { at: self.at.clone(), within };
        tokio::time::timeout(within, asked).await.map_err(silent)?
    }

    fn unreachable(&self, error: &io::Error) -> ClientError {
        // "Connection refused (os error 111)": the number says nothing more.
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        ClientError::Unreachable { at: self.at.clone(), error: text }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let broken = |error| ClientError::Broken { at: self.at.clone(), error };
        let host = match &self.at {
            HttpAddr::Tcp(addr) => addr.to_string(),
            HttpAddr::Unix(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        let request = request.body(Full::new(body)).expect("paths are made of encoded parts");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Dropped with its connection at the end of this function.
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let index = response.headers().get(INDEX_HEADER);
        let index = index.and_then(|index| index.to_str().ok()?.parse().ok());
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        if status == StatusCode::OK {
            return Ok(Answer { index, body });
        }
        let problem: api::Problem = serde_json::from_slice(&body)
            .map_err(|_| self.not_understood(path, format!("status {status}")))?;
        let (at, path, status) = (self.at.clone(), path.to_owned(), status.as_u16());
        Err(ClientError::Refused { at, path, status, detail: problem.detail })
    }
}

fn body(request: &impl Serialize) -> Bytes {
    serde_json::to_vec(request).expect("requests have text keys only and serialise infallibly").into()
}

/// A path with a query.
pub(super) fn with_query<'a>(path: &str, pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    match query.finish().as_str() {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
