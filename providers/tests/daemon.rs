//! A server that a test starts and that ends with it.
#![cfg_attr(not(any(feature = "aws", feature = "dns")), expect(dead_code, reason = "static needs no server"))]

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

/// Time to start. moto, the slowest, takes 3 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server, which is killed when it is dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts a server and waits for a line with `ready` in it on standard error, which is returned too.
    pub(crate) fn start(command: &mut Command, ready: &'static str) -> (Self, String) {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| {
                panic!(
                    "{program} cannot be started: {e}; install it, or run tests/run as root once, which does"
                )
            });
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (send, receive) = sync_channel(1);
        // Reads on after that line, since a full pipe would stop the server.
        thread::spawn(move || {
            let mut log = Vec::new();
            let mut waiting = true;
            for line in lines {
                if waiting && line.contains(ready) {
                    waiting = false;
                    let _ = send.send(Ok(line));
                } else if waiting {
                    log.push(line);
                }
            }
            let _ = send.try_send(Err(log.join("\n")));
        });
        match receive.recv_timeout(START_TIMEOUT) {
            Ok(Ok(line)) => (Self(child), line),
            Ok(Err(log)) => panic!("{program} ended:\n{log}"),
            Err(_) => panic!("{program} did not say `{ready}` within {START_TIMEOUT:?}"),
        }
    }
}

impl Daemon {
    /// The number of its process.
    #[cfg_attr(
        not(feature = "dns"),
        expect(dead_code, reason = "name servers alone have a network of their own")
    )]
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Finds a port that is free on loopback, for both UDP and TCP.
pub(crate) fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on loopback");
}
