//! Any server, by programs of the user's own: `members` in a directory asks it, and writes what it found as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};

use super::{
    driver::{
        ASK_WITHIN, Answer, Ask, AskError, Changing, DataError, DataPlace, Driver, Fault, Identity,
        MemberChange, ServerMember, Sight,
    },
    kind::{Facts, Kind},
};
use crate::{admission, bootstrap::Founding, node::Endpoints};

/// Nothing is known of such a server but what its programs say.
pub(super) const FACTS: Facts = Facts { endpoints: &[], default_url: None, data: None };

const MEMBERS: &str = "members";
const ADMIT: &str = "admit";
const REMOVE: &str = "remove";
/// A server of which nothing more is known has no members without a vote that could be given one later.
const ABILITY: admission::Kind =
    admission::Kind { learner_room: 0, can_swap: false, admits_beside_the_dead: true };
/// Time for one program; the rest of an answer's time is for its end.
const PROGRAM_WITHIN: Duration = ASK_WITHIN.saturating_sub(Duration::from_millis(500));
/// Largest output that is read: a list of a hundred members with long names takes a tenth of it.
const MOST: usize = 256 << 10;
/// Largest text on standard error, of which the last line is shown.
const MOST_WORDS: usize = 4 << 10;
/// Bytes of that line.
const WORDS_SHOWN: usize = 200;

/// The programs beside one server.
#[derive(Debug)]
pub(super) struct Hooks {
    dir: PathBuf,
    own: Endpoints,
}

/// Standard input of each program.
#[derive(Debug, Default, Serialize)]
struct Asked<'a> {
    endpoints: BTreeMap<&'a str, &'a str>,
    /// For `remove`: the member that goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    /// For `admit`: the name for people of the server that comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// For `admit`: its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

/// Standard output of `members`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    /// The cluster by its id, if the server was given that; else it is believed.
    #[serde(default)]
    group: String,
    /// The member that this server is.
    member: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    index: Option<u64>,
    members: Vec<Listed>,
    #[serde(default)]
    troubles: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    member: String,
    #[serde(default)]
    name: String,
    address: String,
    #[serde(default = "votes")]
    votes: bool,
    /// True if it runs, false if not; `None` where the server does not say.
    #[serde(default)]
    up: Option<bool>,
}

fn votes() -> bool {
    true
}

impl Hooks {
    /// The programs in `dir`, for an agent that announces `own`.
    pub(super) fn new(dir: PathBuf, own: &Endpoints) -> Self {
        Self { dir, own: own.clone() }
    }

    async fn members(&self) -> Result<Answer, AskError> {
        let output = self.run(MEMBERS, Asked::default()).await?;
        let found: Found = serde_json::from_slice(&output)
            .map_err(|error| self.fault(MEMBERS, Fault::NotUnderstood(error.to_string())))?;
        let member = |listed: Listed| ServerMember {
            member: listed.member,
            name: listed.name,
            addresses: vec![listed.address],
            votes: listed.votes,
            has_run: None,
            is_up: listed.up,
        };
        Ok(Answer {
            identity: Identity { group: found.group, member: found.member },
            version: found.version,
            leader: found.leader,
            index: found.index,
            members: found.members.into_iter().map(member).collect(),
            troubles: found.troubles,
        })
    }

    async fn change_members(&self, change: &MemberChange) -> Result<(), AskError> {
        match change {
            MemberChange::Admit { name, address, .. } => {
                let asked = Asked { name: Some(name), address: Some(address), ..Asked::default() };
                self.run(ADMIT, asked).await.map(|_| ())
            }
            MemberChange::Remove { member } => {
                let asked = Asked { member: Some(member), ..Asked::default() };
                self.run(REMOVE, asked).await.map(|_| ())
            }
            MemberChange::Promote { .. } | MemberChange::Move { .. } => {
                let problem = "no program gives votes or other addresses".to_owned();
                Err(self.fault("", Fault::Program(problem)))
            }
        }
    }

    async fn run(&self, program: &str, asked: Asked<'_>) -> Result<Vec<u8>, AskError> {
        let endpoints = self.own.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
        let input =
            serde_json::to_vec(&Asked { endpoints, ..asked }).expect("texts by texts serialise infallibly");
        run(&self.dir.join(program), &input).await.map_err(|fault| self.fault(program, fault))
    }

    fn fault(&self, program: &str, fault: Fault) -> AskError {
        AskError { place: self.place(), path: format!("/{program}"), fault }
    }
}

impl Driver for Hooks {
    fn kind(&self) -> Kind {
        Kind::Hooks
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn look(&self, place: &DataPlace) -> Result<Option<Identity>, DataError> {
        let problem = "no program says whose it is".to_owned();
        Err(DataError { path: place.dir.clone(), problem })
    }

    /// The id of the founding itself, or none, where the server has no name for its group.
    fn founded_as(&self, founding: &Founding) -> Vec<String> {
        vec![founding.id().to_string(), String::new()]
    }

    fn ask(&self) -> Ask<'_> {
        Box::pin(self.members())
    }

    /// Looked for each time: a program that is put there counts at once.
    fn ability(&self) -> Option<admission::Kind> {
        let is_there = |program: &&str| self.dir.join(program).exists();
        [ADMIT, REMOVE].iter().all(is_there).then_some(ABILITY)
    }

    fn can_recover(&self) -> bool {
        false
    }

    /// The server's own word, which is part of the answer.
    fn sight<'a>(&'a self, answer: &'a Answer) -> Sight<'a> {
        let up = answer.members.iter().filter(|member| member.is_up == Some(true));
        let up: BTreeSet<String> = up.map(|member| member.member.clone()).collect();
        Box::pin(std::future::ready(up))
    }

    fn change<'a>(&'a self, change: &'a MemberChange) -> Changing<'a> {
        Box::pin(self.change_members(change))
    }
}

/// A program with everything that it has started: all of it ends with this.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // An error means that it is gone.
            kill_process_group(id, Signal::KILL).ok();
        }
    }
}

/// Runs a program to its end; returns what it wrote.
async fn run(program: &Path, input: &[u8]) -> Result<Vec<u8>, Fault> {
    let child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Fault::Program(error.to_string()))?;
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut group = Group { child, id };
    let ended = tokio::time::timeout(PROGRAM_WITHIN, end_of(&mut group.child, input)).await;
    ended.map_err(|_| Fault::Silent(PROGRAM_WITHIN))?
}

async fn end_of(child: &mut Child, input: &[u8]) -> Result<Vec<u8>, Fault> {
    if let Some(mut stdin) = child.stdin.take() {
        // It need not read it.
        stdin.write_all(input).await.ok();
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, words) =
        futures_util::future::try_join(all_of(stdout, MOST), all_of(stderr, MOST_WORDS)).await?;
    let status = child.wait().await.map_err(|error| Fault::Program(error.to_string()))?;
    if status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&words);
    let last = words.lines().last().unwrap_or_default().chars().filter(|char| !char.is_control());
    let last: String = last.take(WORDS_SHOWN).collect();
    Err(Fault::Program(if last.is_empty() { status.to_string() } else { format!("{status}: {last}") }))
}

/// All that is written, which is `most` bytes at most.
async fn all_of(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // Bytes that were read before an error count.
        pipe.take(most as u64 + 1).read_to_end(&mut bytes).await.ok();
    }
    if bytes.len() > most { Err(Fault::TooLong(most)) } else { Ok(bytes) }
}
