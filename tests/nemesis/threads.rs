//! The threads beside a program: one that looks at each agent, and one that writes through each server.

use std::{
    sync::mpsc::{self, Sender, SyncSender},
    thread::{self, JoinHandle},
};

use crate::{
    history::{Event, watch},
    node::Node,
    run::Run,
    writes::{self, Write},
};

/// Threads that look and write until they are told to stop.
pub(crate) struct Threads {
    watching: Vec<(Sender<()>, JoinHandle<()>)>,
    writing: Vec<(Sender<()>, JoinHandle<Vec<Write>>)>,
}

impl Threads {
    pub(crate) fn start(run: &Run<'_>, events: &SyncSender<Event>) -> Self {
        let begin = run.begin;
        let watch = |node: &Node| {
            let ((stop, stopped), events) = (mpsc::channel(), events.clone());
            let (host, socket) = (node.host, node.socket());
            (stop, thread::spawn(move || watch(host, &socket, begin, &stopped, &events)))
        };
        let write = |node: &Node| {
            let ((stop, stopped), host) = (mpsc::channel(), node.host);
            (stop, thread::spawn(move || writes::write(host, begin, &stopped)))
        };
        Self {
            watching: run.nodes.iter().map(watch).collect(),
            writing: run.nodes.iter().map(write).collect(),
        }
    }

    pub(crate) fn stop(self) -> Vec<Write> {
        let (stops, watching): (Vec<_>, Vec<_>) = self.watching.into_iter().unzip();
        drop(stops);
        let (stops, writing): (Vec<_>, Vec<_>) = self.writing.into_iter().unzip();
        drop(stops);
        watching.into_iter().for_each(|thread| thread.join().unwrap());
        let mut writes: Vec<Write> = writing.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        writes.sort_by_key(|write| write.at);
        writes
    }
}
