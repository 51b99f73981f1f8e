//! The exhaustive check of the table of what a founder's server is told: every interleaving of three founders of one cluster, each
//! step of which the shipped machine takes.
//!
//! A founder's state is small ([`founder::Founder`]): its notes, whether it knows that the group exists, its look, its process and
//! its disk. For each step it is translated into a whole [`Bootstrap`](super::Bootstrap) with a real record, real notes and a
//! real look; the input is given to that by the calls that the shell uses, and what it holds afterwards is translated back
//! ([`agent`], the only translation). So the search sees all that the machine does, and none of its clocks: a wait ends, and a hold
//! ends, at any moment. [`conformance`] holds the translation against machines that live on.
//!
//! Kinds of servers: `E` is started by `exec`; `p` polls, attests, and loses its id with its data; `P` asks first before anybody
//! has attested, and is `p` from then on; `K` keeps its id though it loses its data, and `k` does so and attests its data before it
//! votes; `U` attests nothing. A poller that names no id but attests has one: it is `p`. A driver's word is nothing of its own yet:
//! a server beside one is `E` or `p`, seen blank only while it waits.

mod agent;
mod conformance;
mod ends;
mod founder;
mod instances;
mod search;
mod steps;
