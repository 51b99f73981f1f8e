//! The log on standard error, which must never hold up or end the agent: a disk may be full, a pipe's reader may be gone or may
//! not read, a terminal may have hung up or stopped. Lines are written by a thread of its own; those that nobody takes are
//! counted, and told of once lines go through again.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::shown::shown;

/// Number of lines that wait to be written.
const LINES: usize = 1_024;
/// Bytes that wait to be written: minutes of a busy log, and little beside what a host that runs a server has.
const BYTES: usize = 1 << 20;
/// Time allowed at the end for the lines that wait: longer than any disk takes that works.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

/// The way of lines to standard error.
#[derive(Debug, Clone)]
pub struct Log(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    lines: SyncSender<Entry>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    /// Lines that were lost since the last that went through.
    lost: Arc<AtomicU64>,
    /// Set for a terminal: colours are sequences of control characters.
    has_colours: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Somebody waits for the lines before this.
    Flush(SyncSender<()>),
}

impl Log {
    /// A log on standard error.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn on_standard_error(has_colours: bool) -> io::Result<Self> {
        Self::on(io::stderr(), has_colours)
    }

    fn on(sink: impl Write + Send + 'static, has_colours: bool) -> io::Result<Self> {
        let (lines, entries) = sync_channel(LINES);
        let queue = Queue { lines, waiting: Arc::default(), lost: Arc::default(), has_colours };
        let (waiting, lost) = (queue.waiting.clone(), queue.lost.clone());
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(sink, &entries, &waiting, &lost))?;
        Ok(Self(Arc::new(queue)))
    }

    /// Waits until the lines so far are written, but not for long: the end of the program does not depend on its log.
    pub fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.0.lines.try_send(Entry::Flush(written)).is_ok() {
            wait.recv_timeout(LAST_LINES_WITHIN).ok();
        }
    }

    fn put(&self, line: Vec<u8>) {
        let length = line.len();
        let has_room = self.0.waiting.fetch_add(length, Ordering::Relaxed) + length <= BYTES;
        let sent = if has_room { self.0.lines.try_send(Entry::Line(line)) } else { Err(full(line)) };
        if sent.is_err() {
            self.0.waiting.fetch_sub(length, Ordering::Relaxed);
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn full(line: Vec<u8>) -> TrySendError<Entry> {
    TrySendError::Full(Entry::Line(line))
}

fn write_lines(mut sink: impl Write, entries: &Receiver<Entry>, waiting: &AtomicUsize, lost: &AtomicU64) {
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Line(line) => {
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let missing = lost.swap(0, Ordering::Relaxed);
                let before = if missing > 0 { told(missing) } else { String::new() };
                // Half a line may have been written before an error; there is nobody who could be told.
                if sink.write_all(before.as_bytes()).and_then(|()| sink.write_all(&line)).is_err() {
                    lost.fetch_add(missing + 1, Ordering::Relaxed);
                }
            }
            Entry::Flush(written) => {
                sink.flush().ok();
                written.send(()).ok();
            }
        }
    }
}

/// The line about lines that were lost; it says so in either format.
fn told(lost: u64) -> String {
    format!(
        "{{\"level\":\"WARN\",\"message\":\"{lost} lines of the log were lost: they could not be written\"}}\n"
    )
}

/// A line that is being put together; it goes on its way when it is dropped.
#[derive(Debug)]
pub struct Line {
    log: Log,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One event is one line, whatever others have put into it.
impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = if self.log.0.has_colours { text.replace(['\n', '\r'], " ").into() } else { shown(text) };
        let mut line = line.into_owned();
        line.push('\n');
        self.log.put(line.into_bytes());
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { log: self.clone(), bytes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that hands each piece to the test, and waits until it is taken.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_hold_up_nobody_and_are_counted() {
        let (sink, read) = sync_channel(0);
        let log = Log::on(Slow(sink), false).unwrap();
        let long = "x".repeat(BYTES / 8);
        (0..32).for_each(|_| log.put(long.clone().into_bytes()));
        log.flush();
        let (mut whole, mut lost) = (0, 0);
        while whole + lost < 32 {
            let text = read.recv_timeout(Duration::from_secs(10)).unwrap();
            match text.split_once("\"message\":\"") {
                Some((_, rest)) => {
                    lost += rest.split(' ').next().unwrap().parse::<u64>().unwrap();
                }
                None => whole += u64::from(text == long),
            }
        }
        assert!((8..=10).contains(&whole), "{whole} went through, {lost} were lost");
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let (sink, read) = sync_channel(8);
        let log = Log::on(Slow(sink), false).unwrap();
        log.make_writer().write_all(b"INFO name=\x1b[2J\nINFO forged\n").unwrap();
        log.flush();
        let text: String = read.try_iter().collect();
        assert_eq!(text, "INFO name=\\u{1b}[2J\\u{a}INFO forged\n");
    }

    #[test]
    fn a_sink_that_fails_ends_nobody() {
        let (sink, read) = sync_channel(0);
        drop(read);
        let log = Log::on(Slow(sink), false).unwrap();
        (0..3).for_each(|_| log.put(b"a line\n".to_vec()));
        log.flush();
        assert_eq!(log.0.lost.load(Ordering::Relaxed), 3);
    }
}
