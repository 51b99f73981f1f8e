//! The bounds of the API: the size of a request, the time it may take, and the number of clients at once.

use std::time::Duration;

/// Largest body of a request in bytes: the longest list of addresses to join takes about 4 KiB.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// Time allowed for a body to arrive: as long as for the head.
pub(super) const BODY_WITHIN: Duration = HEAD_WITHIN;
/// Largest head of a request in bytes: a long query and a token take about 2 KiB, the cookies that a browser keeps for
/// `localhost` some more.
pub(super) const HEAD_MAX: usize = 16 * 1024;
/// Most headers of a request.
pub(super) const HEADERS_MAX: usize = 64;
/// Time allowed for the head of a request to arrive: a slower client only occupies a connection.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Time for which a client may leave an answer unread before the connection is closed.
pub(super) const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// Time allowed for answers in flight at the end; with the steps after it, a graceful stop stays within its 3 s.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(1);
/// Bytes of an answer that are not counted: nearly all are shorter.
pub(super) const UNCOUNTED_MAX: u64 = 64 * 1024;
/// Bytes of longer answers that clients have not taken yet: four lists of 16,384 members.
pub(super) const UNTAKEN_MAX: usize = 32 << 20;
/// Most addresses in one join.
pub(super) const JOIN_ADDRS_MAX: usize = 64;
/// The longest wait for a change, as in Consul's blocking queries.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(600);
/// The wait of a request with an index and no `wait`: shorter than the idle time-outs of common proxies (60 s).
pub(super) const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Most connections of one kind, see [`Capacity::connections`].
const CONNECTIONS_MAX: usize = 1024;
/// Divisor of the file descriptor limit: a quarter of the descriptors may be connections of one kind, since gossip and
/// the state directory need theirs.
const CONNECTION_SHARE: u64 = 4;
/// Most requests that wait for a change.
const LONG_POLLS_MAX: usize = 512;

/// The number of clients at once, under the file descriptor limit of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Open connections of one kind, over all its listeners; further ones wait in the system's queue. There are two
    /// kinds, from this host and from elsewhere, so that clients elsewhere never shut out the server beside the agent.
    pub(super) connections: usize,
    /// Requests that wait for a change: at most half of the connections, so that waiting never shuts out asking.
    pub(super) long_polls: usize,
}

impl Capacity {
    /// The capacity of a process that may open this many file descriptors.
    pub(super) fn of(descriptors: u64) -> Self {
        let share = usize::try_from(descriptors / CONNECTION_SHARE).unwrap_or(CONNECTIONS_MAX);
        let connections = share.min(CONNECTIONS_MAX);
        Self { connections, long_polls: LONG_POLLS_MAX.min(connections / 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_room_for_gossip() {
        assert_eq!(Capacity::of(u64::MAX), Capacity { connections: 1024, long_polls: 512 });
        assert_eq!(Capacity::of(256), Capacity { connections: 64, long_polls: 32 });
    }
}
