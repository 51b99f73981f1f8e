//! Servers beside agents: one [`Driver`] a kind knows what its server announces, what lies in its data directory, and how to ask
//! it while it runs.

mod belonging;
mod driver;
mod etcd;
mod flag;
mod hooks;
mod kind;
mod request;
mod seen;
mod tls;
mod url;

pub use self::{
    belonging::{Belonging, adopted},
    driver::{
        Answer, Ask, AskError, Changing, DataError, DataPlace, Driver, Fault, Identity, MemberChange,
        ServerMember, Sight,
    },
    flag::ServerFlag,
    kind::{DataWords, DefaultEndpoint, Facts, Kind},
    seen::{Leader, Seen, SeenMember, SeenWait},
    tls::TlsFiles,
    url::Url,
};
