//! The state that a host deserves once all is quiet: from what the program did to its disks alone.

use std::collections::BTreeSet;

use crate::{
    disks::{Act, What},
    history::Said,
    program::Part,
};

/// The one founding of a program: the cluster, and its founders' agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Founding {
    pub(crate) cluster: String,
    pub(crate) founders: BTreeSet<String>,
}

/// A host's truth: its disks as they are, and what was done to them.
#[derive(Debug)]
pub(crate) struct Truth<'a> {
    pub(crate) host: usize,
    /// True if the first agent here was a founder's.
    pub(crate) is_seat: bool,
    pub(crate) holds_data: bool,
    pub(crate) acts: &'a [Act],
    /// True if the program ended the server or filled its disk: perhaps after it had begun and before it had written anything.
    pub(crate) may_have_begun: bool,
    /// True if no server holds data any more.
    pub(crate) all_blank: bool,
    /// Servers of the quorum that can be there: voters whose agent, or whose data beside another agent, is left.
    pub(crate) has_quorum: bool,
}

impl Truth<'_> {
    fn acts(&self, part: Part) -> impl Iterator<Item = &Act> {
        self.acts.iter().filter(move |act| act.host == self.host && act.part == part)
    }

    /// True if data of the server is gone: its directory was emptied when it held some, and is empty.
    fn has_lost_data(&self) -> bool {
        !self.holds_data && self.acts(Part::Server).any(|act| act.held_data)
    }

    /// True if the agent's record is an older one of its own: it may have forgotten that its server had begun.
    fn may_have_forgotten(&self) -> bool {
        self.acts(Part::Agent).any(|act| matches!(act.what, What::RolledBack { .. }))
    }
}

/// Judges an agent's answer by its host's truth.
pub(crate) fn judge(truth: &Truth<'_>, founding: &Founding, said: &Said) -> Result<(), String> {
    let wrong = |deserved: &str| {
        let told: Vec<_> = said.reasons.iter().map(|(code, _)| code).collect();
        Err(format!("host {} deserves {deserved}, and is told {} {told:?}", truth.host, said.decision))
    };
    let is_founder = founding.founders.contains(&said.id);
    let starts = if said.established { "resume" } else { "bootstrap" };
    let of_cluster = said.cluster.as_ref() == Some(&founding.cluster);
    let lost = said.decision == "wait" && said.has("server_state_lost");
    let is_well = match (is_founder, truth.holds_data) {
        (true, true) => said.decision == starts,
        (true, false) if truth.has_lost_data() && !truth.all_blank => {
            // An older record may be of the time before its server began: told to initialise as if it were new. It stands
            // in the page on trust that a record which was restored is not found out.
            lost || (truth.may_have_forgotten() && !said.established && said.decision == "bootstrap")
        }
        // It begins at once, and then it holds data. One that was killed between the two cannot be told from one whose data is
        // lost, and is not started while others have begun.
        (true, false) => {
            (!said.established && said.decision == "bootstrap") || (truth.may_have_begun && lost)
        }
        // A new agent beside the data of a voter is that voter.
        (false, true) if truth.is_seat => said.decision == starts,
        (false, _) => said.decision == "join",
    };
    if !is_well || !of_cluster {
        let deserved = match (is_founder, truth.holds_data) {
            (true, true) => starts,
            (true, false) if truth.has_lost_data() && !truth.all_blank => "wait, server_state_lost",
            (true, false) => "bootstrap",
            (false, true) if truth.is_seat => starts,
            (false, _) => "join",
        };
        return wrong(&format!("{deserved} of {}", founding.cluster));
    }
    let beside = ["two_clusters", "server_disagrees", "voters_differ", "duplicate_id"];
    if let Some(code) = beside.iter().find(|code| said.has(code)) {
        return wrong(&format!("no {code}"));
    }
    if said.quorum.has != truth.has_quorum {
        return wrong(&format!("has_quorum {}, not {}", truth.has_quorum, said.quorum.has));
    }
    Ok(())
}
