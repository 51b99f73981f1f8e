//! All that was said and done, in the order of its times.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{awaiting::now, http::ask_agent};

/// Pause between two looks at one agent.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Something that was seen or done, and when.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Milliseconds since the program began.
    pub(crate) at: u64,
    pub(crate) host: usize,
    pub(crate) what: Seen,
}

/// A sight of a host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// Its agent answers otherwise than before.
    Said(Box<Said>),
    /// Its agent does not answer.
    Silent,
    /// A server was started by `exec`.
    Started(Start),
    /// A process ended by itself: its exit code, and the end of its log.
    AgentEnded(String),
    ServerEnded(String),
    /// A step of the program, or of the operator who mends what it left.
    Done(String),
}

/// An agent's answer, as far as it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) id: String,
    /// The name under which it gossips.
    pub(crate) name: String,
    pub(crate) decision: String,
    pub(crate) cluster: Option<String>,
    pub(crate) established: bool,
    pub(crate) founders: Vec<String>,
    pub(crate) reasons: Vec<(String, String)>,
    pub(crate) quorum: Quorum,
}

/// The quorum as an agent sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) has: bool,
    pub(crate) voters: BTreeSet<String>,
    pub(crate) alive: BTreeSet<String>,
}

/// A start of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) was_blank: bool,
    /// The value of `--initial-cluster-state`.
    pub(crate) state: String,
    /// The value of `--initial-cluster-token`, the cluster's id.
    pub(crate) cluster: String,
    /// Number of members in `--initial-cluster`.
    pub(crate) members: usize,
    /// True if the other hosts' servers were all blank at some moment of the last seconds.
    pub(crate) beside_blank: bool,
}

impl Event {
    /// The answer that it is.
    pub(crate) fn said(&self) -> Option<&Said> {
        if let Seen::Said(said) = &self.what { Some(said) } else { None }
    }
}

impl Start {
    /// Reads a line that the wrapper of etcd has written.
    pub(crate) fn read(line: &str) -> Self {
        let value = |name: &str| {
            let mut values = line.split(' ').rev().filter_map(|word| word.strip_prefix(name));
            values.next().unwrap_or("").to_owned()
        };
        let was_blank = line.starts_with("blank ");
        let members = value("--initial-cluster=").split(',').count();
        Self {
            was_blank,
            members,
            beside_blank: false,
            state: value("--initial-cluster-state="),
            cluster: value("--initial-cluster-token="),
        }
    }
}

impl Said {
    /// True if one of the reasons has this code.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.reasons.iter().any(|(found, _)| found == code)
    }

    fn read(bootstrap: &Value, quorum: &Value, myself: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let ids = |value: &Value| -> Vec<String> {
            list(value).iter().map(|founder| text(&founder["id"])).collect()
        };
        let voters: BTreeSet<String> = ids(&bootstrap["voters"]).into_iter().collect();
        let missing: BTreeSet<String> = ids(&quorum["missing"]).into_iter().collect();
        Self {
            id: text(&myself["id"]),
            name: text(&myself["cluster"]),
            decision: text(&bootstrap["decision"]),
            cluster: bootstrap["cluster_id"].as_str().map(str::to_owned),
            established: bootstrap["established"] == true,
            founders: ids(&bootstrap["founders"]),
            reasons: list(&bootstrap["reasons"])
                .iter()
                .map(|reason| (text(&reason["code"]), text(&reason["message"])))
                .collect(),
            quorum: Quorum { has: quorum["has_quorum"] == true, alive: &voters - &missing, voters },
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms, host {}: ", self.at, self.host)?;
        match &self.what {
            Seen::Said(said) => {
                let short = |id: &String| id.get(id.len().saturating_sub(6)..).unwrap_or(id).to_owned();
                let ids = |ids: Vec<String>| ids.join(" ");
                let reasons: Vec<_> =
                    said.reasons.iter().map(|(code, text)| format!("{code} ({text})")).collect();
                write!(
                    f,
                    "{} says {} of {:?}",
                    short(&said.id),
                    said.decision,
                    said.cluster.as_ref().map(short)
                )?;
                let founders = ids(said.founders.iter().map(short).collect());
                let alive = ids(said.quorum.alive.iter().map(short).collect());
                write!(f, ", founders {founders}, established {}, ", said.established)?;
                write!(f, "quorum {} of {}, alive {alive}; ", said.quorum.has, said.quorum.voters.len())?;
                f.write_str(&reasons.join("; "))
            }
            Seen::Silent => f.write_str("no answer"),
            Seen::Started(start) => write!(f, "etcd started: {start:?}"),
            Seen::AgentEnded(how) => write!(f, "the agent ended: {how}"),
            Seen::ServerEnded(how) => write!(f, "the server ended: {how}"),
            Seen::Done(what) => write!(f, "--- {what}"),
        }
    }
}

/// Looks at one agent again and again, until told to stop; sends what is new.
pub(crate) fn watch(
    host: usize,
    socket: &Path,
    begin: Instant,
    stop: &Receiver<()>,
    events: &SyncSender<Event>,
) {
    let mut last = Seen::Silent;
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let what = look(socket).map_or(Seen::Silent, |said| Seen::Said(Box::new(said)));
        if what != last {
            last.clone_from(&what);
            let at = since(begin);
            if events.send(Event { at, host, what }).is_err() {
                return;
            }
        }
    }
}

/// An agent's answer now.
pub(crate) fn look(socket: &Path) -> Result<Said, String> {
    let get = |path: &str| match ask_agent(socket, "GET", path, "") {
        Ok((200, answer)) => Ok(answer),
        Ok((status, answer)) => Err(format!("{path}: {status} {answer}")),
        Err(error) => Err(format!("{path}: {error}")),
    };
    Ok(Said::read(&get("/v1/bootstrap?look=true")?, &get("/v1/quorum")?, &get("/v1/self")?))
}

/// Milliseconds since the program began.
pub(crate) fn since(begin: Instant) -> u64 {
    u64::try_from((now() - begin).as_millis()).unwrap()
}
