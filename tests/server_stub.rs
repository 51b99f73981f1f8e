//! An imitation of etcd's client port, which answers as files say: for what no real etcd does on demand.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    thread,
};

use serde_json::{Value, json};

use crate::running::Dir;

/// The group that the imitation is of, as the agents write it.
pub(crate) const GROUP: &str = "2a";
const STATUS: &str = "v3-maintenance-status";
const LIST: &str = "v3-cluster-member-list";

/// A server on loopback. A question for which there is no file gets no answer.
pub(crate) struct ServerStub {
    dir: Dir,
    pub(crate) url: String,
}

impl ServerStub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (dir, url) = (Dir::new(), format!("http://{}", listener.local_addr().unwrap()));
        let place = dir.0.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let place = place.clone();
                thread::spawn(move || answer(stream, &place));
            }
        });
        Self { dir, url }
    }

    /// The flag of the agent beside it.
    pub(crate) fn flag(&self) -> String {
        format!("etcd={}", self.url)
    }

    /// Answers from now on that these members with these addresses, of which the first is itself, are led by the first.
    pub(crate) fn list(&self, index: u32, members: &[&str]) {
        let header = json!({"cluster_id": "42", "member_id": "1"});
        let listed: Vec<Value> = (1..)
            .zip(members)
            .map(|(id, addr)| json!({"ID": id.to_string(), "name": format!("m{id}"), "peerURLs": [format!("http://{addr}")]}))
            .collect();
        let status = json!({"header": header, "version": "3.4.99", "leader": "1", "raftAppliedIndex": index.to_string()});
        self.raw(LIST, &ok(&json!({"header": header, "members": listed}).to_string()));
        self.raw(STATUS, &ok(&status.to_string()));
    }

    /// Answers the first question like this from now on.
    pub(crate) fn answer(&self, response: &str) {
        self.raw(STATUS, response);
    }

    /// Gives no answer any more.
    pub(crate) fn fall_silent(&self) {
        fs::remove_file(self.dir.0.join(STATUS)).unwrap();
    }

    fn raw(&self, file: &str, response: &str) {
        // At once, for whoever reads it.
        let new = self.dir.file("new", response);
        fs::rename(new, self.dir.0.join(file)).unwrap();
    }
}

/// A response with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn answer(mut stream: std::net::TcpStream, place: &Path) {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).unwrap_or(0);
    let head = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').replace('/', "-");
    match fs::read(place.join(path)) {
        Ok(response) => _ = stream.write_all(&response),
        // Held open until the client gives up.
        Err(_) => _ = stream.read(&mut bytes),
    }
}
