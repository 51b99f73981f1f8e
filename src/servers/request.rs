//! One request to a server's own port: bounded in time and in size, never redirected, one connection each.

use std::{io, time::Duration};

use bytes::Bytes;
use chronik_providers::Host;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, LOCATION},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    driver::{AskError, Fault},
    tls::{self, TlsFiles},
    url::Url,
};

/// Largest answer that is read: a list of a hundred members with long names takes a tenth of it.
const MOST: usize = 256 << 10;

/// Largest refusal that is read.
const MOST_WORDS: usize = 4 << 10;
/// Characters of it that are shown.
const WORDS_SHOWN: usize = 200;

/// A good answer: its headers and its body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A client of one port of a server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    url: Url,
    tls: TlsFiles,
}

impl Client {
    pub(super) fn new(url: Url, tls: TlsFiles) -> Self {
        Self { url, tls }
    }

    /// A client of another port, with the same scheme and certificates.
    pub(super) fn elsewhere(&self, host: Host, port: u16) -> Self {
        Self { url: Url { is_secure: self.url.is_secure, host, port }, tls: self.tls.clone() }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// A fault of an answer, with its place.
    pub(super) fn fault(&self, path: &str, fault: Fault) -> AskError {
        AskError { place: self.url.to_string(), path: path.to_owned(), fault }
    }

    /// Sends `body` to `path`, or asks for it where there is no body. All of it takes at most `within`.
    pub(super) async fn send(
        &self,
        path: &str,
        body: Option<Bytes>,
        within: Duration,
    ) -> Result<Reply, AskError> {
        let asked = tokio::time::timeout(within, self.ask(path, body)).await;
        asked.unwrap_or(Err(Fault::Silent(within))).map_err(|fault| self.fault(path, fault))
    }

    async fn ask(&self, path: &str, body: Option<Bytes>) -> Result<Reply, Fault> {
        let Self { url, tls } = self;
        // Looks the name up, if it is one, in the same time.
        let stream = TcpStream::connect(url.authority()).await.map_err(|error| unreachable(&error))?;
        if url.is_secure {
            return exchange(tls::secured(stream, url, tls).await?, url, path, body).await;
        }
        exchange(stream, url, path, body).await
    }
}

fn unreachable(error: &io::Error) -> Fault {
    // "Connection refused (os error 111)": the number says nothing more.
    let text = error.to_string();
    Fault::Unreachable(text.split(" (os error").next().unwrap_or(&text).to_lowercase())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    path: &str,
    body: Option<Bytes>,
) -> Result<Reply, Fault> {
    let broken = |error: hyper::Error| Fault::Broken(error.to_string());
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.unwrap_or_default()))
        .expect("paths are written in this module's callers, and a host and its port are a header's value");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Dropped with its connection at the end of this function.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            let to = head.headers.get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()));
            return Err(Fault::Redirect(to.unwrap_or_default().chars().take(200).collect()));
        }
        status => return Err(refusal(status, body).await),
    }
    let body = Limited::new(body, MOST).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Fault::TooLong(MOST) } else { Fault::Broken(error.to_string()) }
    })?;
    Ok(Reply { headers: head.headers, body: body.to_bytes() })
}

/// A refusal in the server's own words, where it has any.
async fn refusal(status: StatusCode, body: Incoming) -> Fault {
    #[derive(Deserialize)]
    struct Words {
        error: String,
    }
    let words = Limited::new(body, MOST_WORDS).collect().await.ok();
    let words = words.and_then(|words| serde_json::from_slice::<Words>(&words.to_bytes()).ok());
    match words {
        Some(Words { error }) => {
            Fault::Refused(error.chars().filter(|char| !char.is_control()).take(WORDS_SHOWN).collect())
        }
        None => Fault::Status(status.as_u16()),
    }
}
