//! The states of the model: founders, their servers and disks, and the world that they are in.

/// A kind of server, by the way in which it is started and says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// `E`: started by `exec`.
    Exec,
    /// `p`: polls, attests, and loses its id with its data.
    Polls,
    /// `P`: asks before anybody has attested, and is `p` from then on.
    AsksFirst,
    /// `K`: keeps its id when it loses its data.
    KeepsId,
    /// `k`: keeps its id, and attests its data before it votes.
    KeepsIdAttests,
    /// `U`: attests nothing.
    Unknown,
}

impl Kind {
    pub(super) fn of(letter: char) -> Self {
        match letter {
            'E' => Self::Exec,
            'p' => Self::Polls,
            'P' => Self::AsksFirst,
            'K' => Self::KeepsId,
            'k' => Self::KeepsIdAttests,
            'U' => Self::Unknown,
            other => panic!("no kind {other}"),
        }
    }

    /// True if its id is still there after its data is lost.
    pub(super) fn keeps_id(self) -> bool {
        matches!(self, Self::KeepsId | Self::KeepsIdAttests)
    }
}

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// `c`: a note without id becomes one with the id that is named next.
    NamedLater,
    /// `d`: a server that finds no data starts on the answer that was for its data.
    StartsBlank,
    /// `S`: all were seen blank, but not at one moment.
    OneRound,
    /// `C`: a look outlives the wait in which it was made.
    CachedLook,
    /// `a`: the agent may be killed between its answer and its note of it.
    NotesLate,
    /// `b`: a server is started before it is noted that it begins.
    BeginsLate,
    /// `s`: that data was attested is not noted.
    IgnoresData,
    /// `u`: that somebody without an id was told is not noted.
    IgnoresNameless,
    /// `x`: a server that cannot be looked at counts as blank.
    UnseenIsBlank,
    /// `o`: one other founder is looked at.
    OneOther,
    /// `l`: the look does not hear that the group exists.
    DeafLook,
    /// `e`: the look decides once the group exists, too.
    LookDecides,
}

/// The instance that is searched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    pub(super) kinds: [Kind; 3],
    pub(super) mutant: Option<Mutant>,
    /// True if the look at all others is one step; if not, each is looked at by itself, twice, as it is shipped.
    pub(super) at_once: bool,
    /// Terms of the group in which somebody may be elected.
    pub(super) terms: u8,
    /// False leaves out that a poller which waits is seen (`w`).
    pub(super) pollers_seen: bool,
    /// False leaves out that nobody is started while another looks (`f`).
    pub(super) holds: bool,
}

impl Instance {
    pub(super) fn of(kinds: &str) -> Self {
        let kinds: Vec<Kind> = kinds.chars().map(Kind::of).collect();
        let kinds = kinds.try_into().expect("three founders");
        Self { kinds, mutant: None, at_once: false, terms: 1, pollers_seen: true, holds: true }
    }
}

/// The server that was told to initialise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Told {
    Nobody,
    /// The one of the id that is there now.
    This,
    /// One of an id that was there before.
    Former,
    Anybody,
}

/// The process of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Process {
    /// None: whoever starts it asks.
    Waits,
    /// None: it was blank, and was told to bootstrap.
    Told,
    /// None: it had data, and was told to bootstrap.
    ToldWithData,
    /// None: it was told to resume.
    ToldToResume,
    /// None: `exec` has said that it begins.
    Begun,
    Up,
    Leads,
}

impl Process {
    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Leads)
    }
}

/// Progress of a look: rounds in which all were seen blank, and the founders that were seen in this one (a bit each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Progress {
    pub(super) rounds: u8,
    pub(super) seen: u8,
}

impl Progress {
    pub(super) const BEGUN: Self = Self { rounds: 0, seen: 0 };
    pub(super) const PASSED: Self = Self { rounds: 2, seen: 0 };
}

/// The data of a server: its vote, and whether it has the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Disk {
    pub(super) term: u8,
    pub(super) vote: Option<u8>,
    pub(super) has_write: bool,
}

/// A founder: the agent's record and look, the server's process and its disk; no disk is a blank directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Founder {
    pub(super) told: Told,
    pub(super) begun: bool,
    pub(super) established: bool,
    pub(super) process: Process,
    pub(super) look: Option<Progress>,
    pub(super) disk: Option<Disk>,
}

impl Founder {
    pub(super) const NEW: Self = Self {
        told: Told::Nobody,
        begun: false,
        established: false,
        process: Process::Waits,
        look: None,
        disk: None,
    };

    /// True if a blank server here may have been there before.
    pub(super) fn is_noted(&self) -> bool {
        self.begun || self.told != Told::Nobody
    }

    /// The directory emptied, with all that runs in it.
    pub(super) fn wiped(self, kind: Kind) -> Self {
        let told = if self.told == Told::This && !kind.keeps_id() { Told::Former } else { self.told };
        let process = if self.process.is_up() { Process::Waits } else { self.process };
        Self { told, process, disk: None, ..self }
    }

    /// This founder when founder `names[n]` is called `n`.
    pub(super) fn renamed(mut self, names: [usize; 3]) -> Self {
        let new = |old: usize| u8::try_from(names.iter().position(|name| *name == old).unwrap()).unwrap();
        if let Some(Progress { seen, .. }) = &mut self.look {
            *seen = (0..3).filter(|old| *seen & (1 << old) != 0).map(|old| 1 << new(old)).sum();
        }
        if let Some(Disk { vote: Some(vote), .. }) = &mut self.disk {
            *vote = new(usize::from(*vote));
        }
        self
    }

    /// The founder with notes that mean the same as its own: one that has begun, one that was told under a former id and one that
    /// was told without an id are judged alike for ever, as `instances::notes_that_are_judged_alike_lead_alike` checks.
    pub(super) fn plain(self) -> Self {
        let is_dirty = self.begun || matches!(self.told, Told::Former | Told::Anybody);
        let told = if is_dirty { Told::Nobody } else { self.told };
        Self { told, begun: is_dirty, ..self }
    }
}

/// A step of one founder, with what it says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) next: Founder,
    pub(super) label: &'static str,
    /// True if data is lost.
    pub(super) loses: bool,
    /// True if nothing fails in it.
    pub(super) is_good: bool,
}
