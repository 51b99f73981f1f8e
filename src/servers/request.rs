//! One request to a server's own port: bounded in time and in size, never redirected, one connection each.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, LOCATION},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    driver::{AskError, Fault},
    url::Url,
};

/// Largest answer that is read: a list of a hundred members with long names takes a tenth of it.
const MOST: usize = 256 << 10;

/// A good answer: its headers and its body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends `body` to `path`, or asks for it where there is no body. All of it takes at most `within`.
pub(super) async fn send(
    url: &Url,
    path: &str,
    body: Option<&'static str>,
    within: Duration,
) -> Result<Reply, AskError> {
    let asked = async {
        if url.is_secure {
            return Err(Fault::NoTls);
        }
        // Looks the name up, if it is one, in the same time.
        let stream = TcpStream::connect(url.authority()).await.map_err(|error| unreachable(&error))?;
        exchange(stream, url, path, body).await
    };
    let asked = tokio::time::timeout(within, asked).await;
    let fault = match asked {
        Ok(Ok(reply)) => return Ok(reply),
        Ok(Err(fault)) => fault,
        Err(_) => Fault::Silent(within),
    };
    Err(at(url, path, fault))
}

/// A fault of an answer, with its place.
pub(super) fn at(url: &Url, path: &str, fault: Fault) -> AskError {
    AskError { place: url.to_string(), path: path.to_owned(), fault }
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
    body: Option<&'static str>,
) -> Result<Reply, Fault> {
    let broken = |error: hyper::Error| Fault::Broken(error.to_string());
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, url.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(body.unwrap_or_default().as_bytes())))
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
        status => return Err(Fault::Status(status.as_u16())),
    }
    let body = Limited::new(body, MOST).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Fault::TooLong(MOST) } else { Fault::Broken(error.to_string()) }
    })?;
    Ok(Reply { headers: head.headers, body: body.to_bytes() })
}
