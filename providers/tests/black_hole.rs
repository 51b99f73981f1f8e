//! An address that takes no connection and refuses none.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A listener with a full queue: the kernel drops the packets that ask for another connection.
pub(crate) struct BlackHole {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
    /// URL of the listener: `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl BlackHole {
    /// Opens a listener and fills its queue.
    pub(crate) async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(addr)).await
        {
            queue.push(stream.unwrap());
        }
        Self { _listener: listener, _queue: queue, url: format!("http://{addr}") }
    }
}
