//! Reasons why a server waits or must not go on: one table, with a code, a sentence and a remedy each.

use std::{fmt, net::SocketAddr};

use super::{
    ballot::Ballot,
    cluster::Voter,
    founding::ClusterId,
    listing::{Counting, Founders, Listing, OneSided, OtherExpect, SilentAddr},
    server_id::ServerId,
};
use crate::node::{EndpointName, NodeId, NodeName};

/// One row of the table of reasons. In the texts, a name in braces stands for a field of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonEntry {
    /// Name in answers, events and metrics; two variants of which only the sentences differ share one.
    pub code: &'static str,
    /// Sentence that says what is the case.
    pub sentence: &'static str,
    /// Sentence that says what to do about it.
    pub remedy: &'static str,
}

/// Makes [`Reason`], its code and its texts of one row a reason: `Variant { fields } = "code", "sentence", "remedy";`.
macro_rules! reasons {
    ($(
        $(#[$doc:meta])*
        $variant:ident $({ $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* })?
            = $code:literal, $sentence:literal, $remedy:literal;
    )*) => {
        /// Reason to wait or to call for an operator. [`Reason::code`] is for programs, the printed text for people.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reason {
            $( $(#[$doc])* $variant $({ $( $(#[$field_doc])* $field: $type, )* })?, )*
        }

        impl Reason {
            /// Every row of the table, in its order.
            pub const TABLE: &'static [ReasonEntry] =
                &[$( ReasonEntry { code: $code, sentence: $sentence, remedy: $remedy }, )*];

            /// The name of the reason in answers, events and metrics.
            pub fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $code, )*
                }
            }

            /// The sentence that says what is the case.
            #[expect(unused_variables, reason = "not every sentence names every field")]
            pub fn sentence(&self) -> String {
                match self {
                    $( Self::$variant { $($($field,)*)? } => format!($sentence), )*
                }
            }

            /// The sentence that says what to do about it.
            #[expect(unused_variables, reason = "not every remedy names every field")]
            pub fn remedy(&self) -> String {
                match self {
                    $( Self::$variant { $($($field,)*)? } => format!($remedy), )*
                }
            }
        }
    };
}

reasons! {
    /// Neither `--bootstrap-expect` nor `--founders` is set.
    ExpectNotSet = "expect_not_set",
        "no cluster is known and this agent founds none",
        "set --bootstrap-expect on every server, or start the cluster";

    /// This agent is an observer.
    Observer = "observer",
        "no cluster is known and observers found none",
        "start the servers";

    /// `--join-only`: waiting for a cluster that others found.
    JoinOnly = "join_only",
        "no cluster is known and --join-only founds none",
        "check that its members are reachable";

    /// `--cluster-id`: waiting for that cluster.
    OnlyCluster {
        /// The only cluster that this agent joins.
        cluster_id: ClusterId,
    } = "join_only",
        "cluster {cluster_id} of --cluster-id has not been heard of",
        "check that its members are reachable";

    /// `--cluster-id`: other clusters are known, and not that one.
    OtherClusters {
        /// The only cluster that this agent joins.
        cluster_id: ClusterId,
        /// The clusters that are known.
        known: Listing<ClusterId>,
    } = "join_only",
        "cluster {cluster_id} of --cluster-id has not been heard of, and {known} is known here",
        "correct --cluster-id, or check that the members of the cluster that is meant are reachable";

    /// `--founders` does not name this server.
    NotNamed = "not_named",
        "--founders does not name this server",
        "it joins once the named ones have founded; start them";

    /// Fewer servers than expected are alive and heard from directly.
    TooFewServers {
        /// Number of such servers, this one included.
        have: usize,
        /// Number of founders.
        need: usize,
    } = "too_few_servers",
        "{have} of {need} servers are alive and heard from",
        "start the others, or check the network";

    /// Servers disagree on the number of founders.
    ExpectMismatch {
        /// Number of founders expected here.
        expect: usize,
        /// Servers that expect another number.
        others: Listing<OtherExpect>,
    } = "expect_mismatch",
        "{expect} founders are expected here, but {others}",
        "set the same --bootstrap-expect everywhere";

    /// This server accepted a founding while it was configured otherwise.
    TermsChanged {
        /// Number of founders expected then.
        accepted: usize,
        /// Number of founders expected now.
        expect: usize,
    } = "expect_mismatch",
        "this server accepted a founding of {accepted} servers and now expects {expect}, or other ones",
        "set the earlier value again, or give it up with `chronik-agent bootstrap reset`";

    /// More servers are known than a count can keep from founding twice.
    TooManyServers {
        /// Number of known servers.
        known: usize,
        /// Largest number under which any two quorums share a server.
        most: usize,
        /// The servers themselves, and the silent addresses.
        who: Counting,
    } = "too_many_servers",
        "{known} servers count, and beyond {most} two clusters could be founded: {who}",
        "take those that are gone out of the provider, or say of each `chronik-agent bootstrap vouch --gone ADDR|ID`; start a \
         surplus that lives with --join-only";

    /// Some servers name the founders with `--founders`, and others count them.
    FoundersDiffer {
        /// Servers that are configured otherwise than this one.
        others: Listing<NodeName>,
    } = "expect_mismatch",
        "some servers name the founders with --founders and others count them with --bootstrap-expect: {others} differ from this one",
        "set the same --founders everywhere, or the same --bootstrap-expect";

    /// A provider has not answered yet, so that nobody knows which addresses it lists.
    UnheardProviders = "unheard_seeds",
        "a provider of --retry-join has not answered yet, and --seed-gate is strict",
        "see `chronik-agent discovery`, and mend the provider or take it out";

    /// Listed addresses have not answered, and may be members of a cluster.
    UnheardSeeds {
        /// Those addresses.
        addrs: Listing<SilentAddr>,
    } = "unheard_seeds",
        "no answer from {addrs}",
        "a cluster may exist there; wait, start them, take those that are gone out of the provider, or say of each \
         `chronik-agent bootstrap vouch --gone ADDR`";

    /// The view changed less than the settle time ago.
    Settling = "settling",
        "the servers in view have just changed",
        "nothing to do";

    /// A ballot is about to start.
    AboutToAgree = "agreeing",
        "the servers are about to agree on the founders",
        "nothing to do";

    /// A ballot is under way, and every server that it asked has answered.
    Agreeing {
        /// Highest ballot that was promised here.
        ballot: Ballot,
    } = "agreeing",
        "the servers are agreeing on the founders in ballot {ballot}",
        "nothing to do";

    /// A ballot of this server is under way, and some have not answered.
    Unanswered {
        /// Highest ballot that was promised here.
        ballot: Ballot,
        /// Servers that have not answered.
        missing: Listing<NodeId>,
    } = "agreeing",
        "the servers are agreeing on the founders in ballot {ballot}",
        "if this lasts, look at {missing}, which have not answered";

    /// Another node knows a cluster; its record is on the way.
    Learning {
        /// The cluster.
        cluster_id: ClusterId,
    } = "learning",
        "another node knows cluster {cluster_id}",
        "nothing to do, its record is being fetched";

    /// No other server is known, though there are seeds.
    Alone = "alone",
        "no other server is known",
        "check the seeds and the network";

    /// No other server is known, and no provider lists an address.
    NoSeeds = "no_seeds",
        "no other server is known and no address to ask",
        "set --retry-join";

    /// The record does not read.
    Fault {
        /// Error of the disk or of the decoder.
        why: String,
    } = "fault",
        "the record of this agent cannot be trusted ({why})",
        "repair its state directory and restart it, or start over as a new node with `chronik-agent bootstrap reset`";

    /// The record is of a version in which nodes had no keys.
    OldRecord = "old_record",
        "the record of this agent is of an earlier version, in which nodes had no keys, and holds a vote or a cluster that others \
         cannot verify",
        "start over as a new node with `chronik-agent bootstrap reset`, and where servers hold data, once each agent has, bring \
         their cluster under the agents with `chronik-agent bootstrap adopt`";

    /// The record has changed, and the change could not be saved yet.
    SaveFailed {
        /// Error of the disk.
        why: String,
    } = "fault",
        "the record of this agent cannot be written ({why})",
        "until that is mended, which is looked for every few seconds, this agent votes nothing";

    /// The server is blank, and one that was told to initialise here may have been this one.
    ServerStateLost {
        /// The cluster.
        cluster_id: ClusterId,
    } = "server_state_lost",
        "the server is blank, and one beside this agent has begun in cluster {cluster_id} before: its data is lost, or it lies elsewhere",
        "start it with its data, or have the other voters replace it, with `chronik-agent voters replace` and its name where they have \
         --server; never initialise it again";

    /// The server is blank, one beside this agent has begun before, and others may have been started with what it has lost.
    StateLostUnseen {
        /// The cluster.
        cluster_id: ClusterId,
        /// Founders whose servers were not seen blank.
        unseen: Listing<String>,
        /// The founders, as they were agreed on.
        founders: Founders,
    } = "server_state_lost",
        "the server is blank, and one beside this agent was to initialise cluster {cluster_id} before; its data may be lost, since \
         the servers of {unseen} are not all seen to be blank",
        "start theirs through `chronik-agent exec`, so that all are seen; if this one has lost data, or one of them is gone for \
         good, found anew with those that live, as with `chronik-agent bootstrap override --i-will-lose-data --founders {founders}`";

    /// The server is blank, and does not announce what it was founded with.
    FounderMoved {
        /// Endpoints that are others now, or gone.
        endpoints: Listing<EndpointName>,
        /// The founders, as they were agreed on.
        founders: Founders,
    } = "founder_moved",
        "this server was to found the cluster with other addresses than it announces now: {endpoints}",
        "announce the former ones again, or agree on the present ones with `chronik-agent bootstrap override --founders {founders}`, \
         as long as no founder's server has begun";

    /// Another founder looks whether all servers are blank.
    OthersLook = "settling",
        "another founder looks whether all servers are blank",
        "nothing to do";

    /// A server with data may be any, since nobody attests it.
    ServerUnknown = "server_unknown",
        "nobody has said whether the server holds data, so that a lost disk would not be seen",
        "start it through `chronik-agent exec --attest DIR`, or attest it with PUT /v1/server before it asks";

    /// The server holds data and has not said of which cluster.
    ServerHoldsData = "server_holds_data",
        "the server holds data of a cluster it does not name",
        "bring it under its agents with `chronik-agent bootstrap adopt` on one of them";

    /// Only nodes that are gone have said that a cluster exists.
    ClaimUnconfirmed {
        /// The cluster.
        cluster_id: ClusterId,
        /// The nodes that said so.
        by: Listing<String>,
    } = "claim_unconfirmed",
        "{by} said that cluster {cluster_id} exists, and none of them is alive",
        "start one of them, or if they are gone for good forget each with `chronik-agent forget NODE`, by name or id, or give the \
         cluster up with `chronik-agent bootstrap reset --cluster {cluster_id}`";

    /// The server reports or holds data of another cluster than the one that is known here.
    ServerDisagrees {
        /// The cluster of the server.
        server: ClusterId,
        /// The cluster that is known here.
        known: ClusterId,
    } = "server_disagrees",
        "the server is of cluster {server}, and this agent of {known}",
        "give the server an empty data directory, or correct what it reports";

    /// The server's data is older than what is known of it.
    ServerStateOld {
        /// Number of the last start that its data shows.
        shows: u64,
        /// Number of the last start that is known.
        known: u64,
    } = "server_state_old",
        "the server's data shows start {shows} as its last, and start {known} is known: it is from a backup, and lacks what it has \
         acknowledged since",
        "empty its data directory, start over with `chronik-agent bootstrap reset --i-will-lose-data`, and have the other voters take \
         the new server in the place of this one; where all were restored at once, delete .chronik-server-starts in each data directory";

    /// The server is no voter any more.
    RemovedVoter {
        /// The cluster.
        cluster_id: ClusterId,
    } = "removed_voter",
        "the server holds data of cluster {cluster_id} and was taken out of its voters",
        "empty its data directory, then it joins as a new one";

    /// A newcomer is held back, since a voter is gone and not replaced yet.
    VoterToReplace {
        /// The voter.
        voter: String,
    } = "voter_to_replace",
        "voter {voter} is gone and not replaced yet",
        "start {voter} if it is to stay; it is replaced once it was gone for --replace-failed, or at once with \
         `chronik-agent voters replace {voter}`";

    /// A newcomer is held back, since a voter is down.
    VoterDown {
        /// The voter.
        voter: String,
    } = "voter_down",
        "voter {voter} is down, and no other is given a vote meanwhile",
        "start {voter}, or replace it with `chronik-agent voters replace {voter}`";

    /// There are as many voters as are kept.
    EnoughVoters {
        /// Number of voters.
        voters: u64,
        /// Most that are kept.
        most: u64,
    } = "enough_voters",
        "there are {voters} voters, and {most} are kept",
        "nothing to do; a greater --voters keeps more, and one that is gone is replaced";

    /// The agent beside the leader has not admitted the server, for another reason.
    NotAdmitted {
        /// The reason.
        why: String,
        /// Its remedy.
        remedy: String,
    } = "not_admitted",
        "the server is not among the members yet: {why}",
        "{remedy}";

    /// No agent beside a leader has said anything about the server.
    NobodyAdmits = "not_admitted",
        "the server is not among the members yet, and no agent beside a leader has said why",
        "start a majority of the voters, each with --server of its agent; where they have none, admit this server with its own tool and \
         start this agent without --server";

    /// Another server runs beside this agent.
    AnotherServer {
        /// The server that runs.
        up: ServerId,
    } = "another_server",
        "server {up} runs beside this agent",
        "stop it first, or give this server an agent of its own";

    /// Another agent stands beside the data of the same server.
    ServerIdTaken {
        /// The server.
        server_id: ServerId,
        /// The other agent.
        by: String,
    } = "server_id_taken",
        "{by} stands beside server {server_id} already",
        "stop one of the two servers, or give this one an empty data directory: a copy of its data is no second voter";

    /// Two lists of voters of one version contradict each other.
    VotersDiffer {
        /// One list.
        one: Listing<Voter>,
        /// The other.
        other: Listing<Voter>,
    } = "voters_differ",
        "servers report different voters under one version: {one}, and {other}",
        "have one of them report what its group says now";

    /// The server's own list of voters is not the one that counts here.
    MembersDiffer {
        /// Voters of the server's list alone.
        server: OneSided,
        /// Voters of the other list alone.
        counting: OneSided,
    } = "members_differ",
        "the server's own list of voters is not the one that counts here: only the server has {server}, only the other list {counting}",
        "if this lasts, take a wrong report back with `chronik-agent bootstrap retract` on the node that made it";

    /// Operators have said opposite things without having seen each other's word.
    OperatorsDisagree {
        /// The clusters that one keeps and another gives up.
        clusters: Listing<ClusterId>,
    } = "operators_disagree",
        "operators have said opposite things of {clusters}",
        "say once more which is meant, with `chronik-agent bootstrap resolve --keep ID`";

    /// An operator has given up the cluster of this server.
    ClusterGivenUp {
        /// The cluster.
        cluster_id: ClusterId,
    } = "cluster_given_up",
        "an operator has given up cluster {cluster_id}, of which this server is",
        "empty its data directory and attest that it is blank, then it joins the cluster that was kept";

    /// This server waits for the other founders of an operator's founding.
    OverridePending {
        /// The founding.
        cluster_id: ClusterId,
        /// Founders that have not accepted it, each with its reason.
        missing: Listing<String>,
        /// Founders that have.
        others: Founders,
    } = "override_pending",
        "this server has accepted that an operator bootstraps cluster {cluster_id}, and others have not: {missing}",
        "start those that have not answered, and see to the reasons of the others; without them, say it again of those that have \
         accepted, with `chronik-agent bootstrap override --founders {others}`, or take it back with `chronik-agent bootstrap reset \
         --cluster {cluster_id}`";

    /// The decision is being saved.
    Saving = "saving",
        "the decision is being written to disk",
        "nothing to do";

    /// Another process has a copy of this node's record, or had one before anything was founded.
    KeyWasCopied = "key_was_copied",
        "the state directory of this node was copied while it had given a vote, and the copy may have given another: this node \
         votes no more",
        "start over under a new id with `chronik-agent bootstrap reset`";

    /// Others remember a later start of this node than its record does.
    RecordRolledBack = "record_rolled_back",
        "the record of this node is older than what others remember of it, and a vote may be missing from it: it votes no more",
        "start over under a new id with `chronik-agent bootstrap reset`";

    /// Another agent runs under this node's id.
    DuplicateId {
        /// Address of the other agent.
        addr: SocketAddr,
    } = "duplicate_id",
        "the agent at {addr} has this node's id",
        "one state directory was copied; stop one of the two and delete its copy";

    /// Two clusters have one name.
    TwoClusters {
        /// The cluster of this server.
        ours: ClusterId,
        /// The other one.
        rival: ClusterId,
        /// The nodes that say that the first one exists.
        behind_ours: Listing<String>,
        /// The nodes that say that the other one exists.
        behind_rival: Listing<String>,
    } = "two_clusters",
        "cluster {ours} ({behind_ours}) and cluster {rival} ({behind_rival}) have the same name",
        "say which is meant with `chronik-agent bootstrap resolve --keep ID`; a report that is wrong is taken back with \
         `chronik-agent bootstrap retract` on the node that made it";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence(), self.remedy())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_row_has_a_code_for_programs_and_two_texts_that_are_one_sentence() {
        for entry in Reason::TABLE {
            let snake_case = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(entry.code.bytes().all(snake_case), "{entry:?}");
            for text in [entry.sentence, entry.remedy] {
                assert!(!text.is_empty() && !text.ends_with(['.', ':', ' ']), "{entry:?}");
            }
        }
        let texts: BTreeSet<_> = Reason::TABLE.iter().map(|entry| (entry.sentence, entry.remedy)).collect();
        assert_eq!(texts.len(), Reason::TABLE.len(), "no two reasons read alike");
    }

    #[test]
    fn a_reason_is_printed_with_its_fields_and_its_remedy() {
        let reason = Reason::TooFewServers { have: 2, need: 3 };
        assert_eq!(reason.code(), "too_few_servers");
        assert_eq!(reason.remedy(), "start the others, or check the network");
        assert_eq!(
            reason.to_string(),
            "2 of 3 servers are alive and heard from: start the others, or check the network"
        );
    }
}
