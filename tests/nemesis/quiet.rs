//! The quiet after a program: operators mend what they have done, each host must come to what it deserves, and what clients were
//! promised must be there.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    awaiting::now,
    deserved::{Founding, Truth, judge},
    history::{Event, Said, look},
    node::Node,
    operators,
    program::Part,
    run::Run,
    writes::{self, Write},
};

/// Time in which all must be as it should be, once nothing disturbs any more: failed servers are known after some seconds,
/// founders wait ten for addresses that do not answer, and each pause after a failed start is a second.
const QUIET: Duration = Duration::from_secs(50);
/// Time for etcd to elect a leader and answer, after that.
const ELECTED: Duration = Duration::from_secs(30);
impl Run<'_> {
    /// Operators mend what they have done; then each host must come to what it deserves.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        self.note(0, "quiet");
        // A server that runs beside a new record is not known to its agent before `exec` has looked at it.
        let at = self.at();
        let replaced = self.acts.iter().filter(|act| act.part == Part::Agent).map(|act| act.host);
        for host in replaced.collect::<BTreeSet<_>>() {
            self.nodes[host].terminate(Part::Server, at);
        }
        let (quiet, mut mended) = (now(), BTreeSet::new());
        let mut wrong = vec!["it was not looked at".to_owned()];
        while quiet.elapsed() < QUIET {
            self.wait_until(self.at() + 300);
            for host in self.owed.clone() {
                let answer = self.retract(host);
                self.note(host, format!("the report is taken back: {answer}"));
            }
            if let Some(founding) = self.account().founding().filter(|_| self.has_words) {
                for host in (0..self.nodes.len()).filter(|host| !mended.contains(host)).collect::<Vec<_>>() {
                    let answer = operators::resolve(&self.nodes[host], &founding.cluster);
                    self.note(host, format!("the founded cluster is meant: {answer}"));
                    if operators::is_taken(&answer) {
                        mended.insert(host);
                    }
                }
            }
            wrong = self.judge();
            if wrong.is_empty() {
                self.note(0, "all is as it should be");
                break;
            }
        }
        wrong
    }

    /// Differences between what each host deserves and what it is told now.
    fn judge(&self) -> Vec<String> {
        let account = self.account();
        let answers: Vec<_> = self.nodes.iter().map(|node| look(&node.socket())).collect();
        let silent = |host: usize| {
            answers[host].as_ref().err().map(|error| format!("host {host} does not answer: {error}"))
        };
        let silent: Vec<String> = (0..answers.len()).filter_map(silent).collect();
        let said: Vec<&Said> = answers.iter().flatten().collect();
        if !silent.is_empty() {
            return silent;
        }
        let Some(founding) = account.founding() else {
            return if account.may_found_twice() && account.is_founded() {
                Vec::new()
            } else {
                self.judge_unfounded(&said)
            };
        };
        let truths = self.truths(&founding, &said);
        truths.iter().zip(&said).filter_map(|(truth, said)| judge(truth, &founding, said).err()).collect()
    }

    fn judge_unfounded(&self, said: &[&Said]) -> Vec<String> {
        if self.account().ids().len() < 2 * self.program.expect {
            return vec!["no cluster is founded".to_owned()];
        }
        let is_told = |said: &&Said| said.decision == "wait" && said.has("too_many_servers");
        let host = said.iter().position(|said| !is_told(said));
        host.map(|host| format!("host {host} deserves wait, too_many_servers")).into_iter().collect()
    }

    fn truths(&self, founding: &Founding, said: &[&Said]) -> Vec<Truth<'_>> {
        let seats = self.account().seats();
        let all_blank = self.nodes.iter().all(|node| !node.disks.holds_data());
        let is_here = |host: &&usize| {
            founding.founders.contains(&said[**host].id) || self.nodes[**host].disks.holds_data()
        };
        let has_quorum = seats.iter().filter(is_here).count() > founding.founders.len() / 2;
        let truth = |node: &Node| {
            let (host, holds_data) = (node.host, node.disks.holds_data());
            Truth {
                may_have_begun: self.program.disturbs_server(host),
                host,
                is_seat: seats.contains(&host),
                holds_data,
                acts: &self.acts,
                all_blank,
                has_quorum,
            }
        };
        self.nodes.iter().map(truth).collect()
    }

    /// Looks for what was acknowledged, through any server that answers.
    pub(crate) fn judge_writes(&mut self, writes: &[Write]) -> Vec<String> {
        let mut findings = self.account().two_clusters(writes);
        let (asked, mut last) = (now(), "nobody was asked".to_owned());
        let patience = if self.account().should_answer() { ELECTED } else { Duration::from_secs(3) };
        while asked.elapsed() < patience {
            self.wait_until(self.at() + 200);
            for host in 0..self.nodes.len() {
                match writes::read(host) {
                    Ok((cluster, keys)) => {
                        let of_cluster: Vec<_> =
                            writes.iter().filter(|write| write.cluster == cluster).cloned().collect();
                        findings.extend(self.account().lost_writes(&of_cluster, &keys));
                        return findings;
                    }
                    Err(error) => last = error,
                }
            }
        }
        if self.account().should_answer() {
            findings.push(format!("no etcd answers though a majority has its data: {last}"));
        }
        findings
    }

    /// Defects that agents have told of themselves.
    pub(crate) fn panics(&self) -> Vec<String> {
        let is_one = |line: &&str| line.contains("panicked") || line.contains("defect of the agent");
        let of = |node: &Node| {
            let log = node.agent_log();
            let found = log.lines().find(is_one);
            found.map(|line| format!("agent {}: {line}", node.host))
        };
        self.nodes.iter().filter_map(of).collect()
    }

    pub(crate) fn print_history(&self) {
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.at);
        events.iter().for_each(|event| println!("{event}"));
        self.nodes.iter().for_each(|node| println!("{}", node.logs()));
    }
}
