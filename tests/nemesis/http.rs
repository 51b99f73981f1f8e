//! The plainest client: one request over one connection, with a bound.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// The status and the body of an answer, or the reason why there is none.
pub(crate) type Answer = Result<(u16, Value), String>;

/// Asks an agent over its unix socket.
pub(crate) fn ask_agent(socket: &Path, method: &str, path: &str, body: &str) -> Answer {
    let limit = Some(Duration::from_secs(3));
    let stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(limit)
        .and_then(|()| stream.set_write_timeout(limit))
        .map_err(|error| error.to_string())?;
    exchange(stream, method, path, body)
}

/// Asks etcd's JSON gateway.
pub(crate) fn ask_etcd(addr: SocketAddr, path: &str, body: &str) -> Answer {
    let limit = Duration::from_secs(2);
    let stream = TcpStream::connect_timeout(&addr, limit).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(limit)).map_err(|error| error.to_string())?;
    exchange(stream, "POST", path, body)
}

/// HTTP/1.0, so that no answer comes in chunks.
fn exchange(mut stream: impl Read + Write, method: &str, path: &str, body: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    let mut text = String::new();
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())
        .and_then(|()| stream.read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("half an answer: {text}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("no status: {head}"))?;
    Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))))
}
