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

/// moto, the slowest, takes 3 s on an idle machine.
const START: Duration = Duration::from_secs(60);

/// A running server; dropped, it is killed.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until its standard error has a line with `ready` in it, which is returned too.
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
        // Reads on after that, or the server would stand still before a full pipe.
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
        match receive.recv_timeout(START) {
            Ok(Ok(line)) => (Self(child), line),
            Ok(Err(log)) => panic!("{program} ended:\n{log}"),
            Err(_) => panic!("{program} did not say `{ready}` within {START:?}"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has on loopback, neither by UDP nor by TCP.
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
