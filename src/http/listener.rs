//! The sockets that the API listens on, bound before anything else starts so that a mistake shows at once.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::{config::HttpAddr, durable};

/// Mode of a unix socket: its owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// A bound socket.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp { listener: TcpListener, addr: SocketAddr },
    Unix { listener: UnixListener, file: SocketFile },
}

/// The clients that can reach a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Clients on this host only.
    Local,
    /// Clients on other hosts as well.
    Exposed,
}

/// An accepted connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The way by which a connection arrived; every request of it carries this.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// Our address of the connection; `None` for a unix socket.
    pub(super) local: Option<IpAddr>,
    pub(super) reach: Reach,
}

impl Listener {
    /// The address it listens on, with the port that the system chose if 0 was asked for.
    pub fn addr(&self) -> HttpAddr {
        match &self.0 {
            Kind::Tcp { addr, .. } => HttpAddr::Tcp(*addr),
            Kind::Unix { file, .. } => HttpAddr::Unix(file.0.clone()),
        }
    }

    pub(super) fn reach(&self) -> Reach {
        if self.addr().is_exposed() { Reach::Exposed } else { Reach::Local }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Arrival)> {
        let reach = self.reach();
        match &self.0 {
            Kind::Tcp { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = Some(stream.local_addr()?.ip());
                Ok((Stream::Tcp(stream), Arrival { local, reach }))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Arrival { local: None, reach }))
            }
        }
    }
}

/// The file of a unix socket, removed with its listener.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket file is gone already");
        }
    }
}

/// A socket that cannot be bound, with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("--http {addr}: {problem}")]
pub struct BindError {
    /// The address as on the command line.
    pub addr: String,
    /// The problem, and the remedy.
    pub problem: String,
}

/// Listeners on every address.
///
/// # Errors
/// The first address that cannot be bound; those bound before it are released.
pub async fn bind(addrs: &[HttpAddr]) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let bound = match addr {
            HttpAddr::Tcp(addr) => tcp(*addr).await.map_err(|problem| (addr.to_string(), problem)),
            HttpAddr::Unix(path) => {
                unix(path).await.map_err(|problem| (format!("unix:{}", path.display()), problem))
            }
        };
        let kind = bound.map_err(|(addr, problem)| BindError { addr, problem })?;
        listeners.push(Listener(kind));
    }
    Ok(listeners)
}

async fn tcp(addr: SocketAddr) -> Result<Kind, String> {
    let explain = |error: io::Error| {
        remedy(
            &error,
            [
                (io::ErrorKind::AddrInUse, "address in use: another agent? choose another --http"),
                (io::ErrorKind::AddrNotAvailable, "this host has no such address: choose another --http"),
                (io::ErrorKind::PermissionDenied, "not permitted: choose a port above 1023"),
            ],
        )
    };
    let listener = TcpListener::bind(addr).await.map_err(explain)?;
    let bound = listener.local_addr().map_err(explain)?;
    Ok(Kind::Tcp { listener, addr: bound })
}

/// Binds beside the path and renames, so that the socket appears with its mode, and a stale file is replaced in one
/// step.
async fn unix(path: &Path) -> Result<Kind, String> {
    require_free(path).await?;
    let fresh = durable::beside(path);
    let bound = bind_as(&fresh, path);
    bound.map_err(|error| {
        // The remains of the attempt are ours; if there are none, that is fine.
        fs::remove_file(&fresh).ok();
        remedy(
            &error,
            [
                (io::ErrorKind::NotFound, "no such directory: create it, or choose another --http"),
                (
                    io::ErrorKind::PermissionDenied,
                    "not permitted to create a socket there: choose another --http",
                ),
            ],
        )
    })
}

/// The problem in our words if we have some, else in the system's.
fn remedy<const N: usize>(error: &io::Error, known: [(io::ErrorKind, &str); N]) -> String {
    let found = known.iter().find(|(kind, _)| *kind == error.kind());
    found.map_or_else(|| error.to_string(), |(_, text)| (*text).to_owned())
}

fn bind_as(fresh: &Path, path: &Path) -> io::Result<Kind> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(fresh)?;
    fs::set_permissions(fresh, fs::Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(fresh, path)?;
    Ok(Kind::Unix { listener, file: SocketFile(path.to_owned()) })
}

/// Refuses a `path` at which something of value is: anything but a socket that no process answers on.
async fn require_free(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err("something that is no socket is there: choose another --http".to_owned());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => {
            Err(format!("whether the socket there is in use cannot be told: {error}; choose another --http"))
        }
        Ok(_) => Err("address in use: another agent answers there; choose another --http".to_owned()),
    }
}
