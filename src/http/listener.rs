//! The sockets that the API listens on, bound before anything else starts so that a mistake shows at once.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::HttpAddr;

/// Who may connect to a unix socket: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// A bound socket.
#[derive(Debug)]
pub struct Listener(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Where it listens, with the port that the system chose where 0 was asked for.
    pub fn addr(&self) -> HttpAddr {
        match &self.0 {
            Kind::Tcp(_, addr) => HttpAddr::Tcp(*addr),
            Kind::Unix(_, file) => HttpAddr::Unix(file.0.clone()),
        }
    }
}

impl Listener {
    /// Whether others than this host reach it.
    pub(super) fn is_exposed(&self) -> bool {
        self.addr().is_exposed()
    }
}

/// The file of a unix socket, removed with its listener.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket file is gone already");
        }
    }
}

/// A socket that cannot be bound, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("--http {addr}: {problem}")]
pub struct BindError {
    /// As on the command line.
    pub addr: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// Binds every address.
///
/// # Errors
/// The first that cannot be bound; those bound before it are released.
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
    Ok(Kind::Tcp(listener, bound))
}

/// Binds beside the path and renames, so that the socket appears with its mode, and a stale file is replaced in one
/// step.
async fn unix(path: &Path) -> Result<Kind, String> {
    free(path).await?;
    let fresh = path.with_added_extension("new");
    let bound = bind_as(&fresh, path);
    bound.map_err(|error| {
        // Whatever is left of the attempt is ours; that nothing is left is fine.
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

/// What is wrong in our words where we have some, else in the system's.
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
    Ok(Kind::Unix(listener, SocketFile(path.to_owned())))
}

/// Makes sure that nothing of value is at `path`: nothing at all, or a socket that nobody answers.
async fn free(path: &Path) -> Result<(), String> {
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
