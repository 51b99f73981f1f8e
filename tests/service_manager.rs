//! The notifications to systemd, received at the socket at which it would listen.

use std::{os::unix::net::UnixDatagram, process::Stdio, time::Duration};

use crate::running::{Dir, program};

/// Time for two refreshes of the agent's task, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn systemd_hears_ready_then_signs_of_life_then_stopping() {
    let dir = Dir::new();
    let path = dir.0.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let receive = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut child = program()
        .args(["--bind", "127.0.0.1:0", "--http", "127.0.0.1:0", "--state-dir"])
        .arg(dir.0.join("state"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "10000000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(receive(), "READY=1\nWATCHDOG=1\n");
    assert_eq!(receive(), "WATCHDOG=1\n");
    std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    // A sign of life may have been sent before the signal came.
    let last = std::iter::repeat_with(receive).find(|heard| heard != "WATCHDOG=1\n");
    assert_eq!(last.as_deref(), Some("STOPPING=1\nWATCHDOG=1\n"));
    assert!(child.wait().unwrap().success());
}
