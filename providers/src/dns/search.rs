//! The names that a name may stand for, as the C library tries them (resolv.conf(5), `search` and `ndots`).

use hickory_resolver::proto::rr::Name;

use super::{
    lookup::{Found, Miss},
    resolv_conf::{PATH, ResolvConf},
    spec::Reading,
};

/// The names to ask for, in their order. Never empty.
pub(crate) fn names(name: &Name, reading: Reading, conf: &ResolvConf) -> Vec<Name> {
    if reading != Reading::Search {
        return vec![name.clone()];
    }
    let mut relative = name.clone();
    relative.set_fqdn(false);
    // A name that is too long with a domain behind it is no name.
    let below = conf.search.iter().filter_map(|domain| relative.clone().append_domain(domain).ok());
    let mut names: Vec<Name> = below.collect();
    names.insert(if is_short(name, conf) { names.len() } else { 0 }, name.clone());
    names
}

/// Tests whether the C library tries the search list before the name itself.
fn is_short(name: &Name, conf: &ResolvConf) -> bool {
    name.num_labels().saturating_sub(1) < conf.ndots
}

/// Sums up the misses of all names: one that may hide something before one that says that there is nothing.
pub(crate) fn sum_up(misses: Vec<Miss>) -> Result<Found, Miss> {
    let unknown = misses.iter().any(|miss| matches!(miss, Miss::Unknown(_)));
    let said = misses.iter().map(Miss::sentence).collect::<Vec<_>>().join("; ");
    Err(if unknown { Miss::Unknown(said) } else { Miss::Absent(said) })
}

/// Completes the sentence about a name that was not found, if a search list would have been tried by others.
pub(crate) fn hint(sentence: String, name: &Name, reading: Reading, conf: &ResolvConf) -> String {
    if reading != Reading::AsItStands || conf.search.is_empty() || !is_short(name, conf) {
        return sentence;
    }
    format!("{sentence}; the search list of {PATH} is not tried: write the complete name, or add search=yes")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::dns::exchange::Transport;

    fn conf(search: &[&str], ndots: u8) -> ResolvConf {
        let name = |text: &&str| Name::from_ascii(text).unwrap();
        let servers: Vec<SocketAddr> = vec![];
        ResolvConf { servers, search: search.iter().map(name).collect(), ndots, transport: Transport::Udp }
    }

    fn tried(name: &str, reading: Reading, conf: &ResolvConf) -> Vec<String> {
        let name = Name::from_ascii(name).unwrap();
        names(&name, reading, conf).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn as_the_c_library_tries_them() {
        let conf = conf(&["ns.svc.", "svc."], 2);
        assert_eq!(tried("a.", Reading::Search, &conf), ["a.ns.svc.", "a.svc.", "a."]);
        assert_eq!(tried("a.b.", Reading::Search, &conf), ["a.b.ns.svc.", "a.b.svc.", "a.b."]);
        assert_eq!(tried("a.b.c.", Reading::Search, &conf), ["a.b.c.", "a.b.c.ns.svc.", "a.b.c.svc."]);
        for reading in [Reading::Complete, Reading::AsItStands] {
            assert_eq!(tried("a.", reading, &conf), ["a."]);
        }
        let long = format!("{}.", ["a".repeat(60).as_str(); 4].join("."));
        assert_eq!(tried(&long, Reading::Search, &self::conf(&["example.com."], 1)), [long]);
    }

    #[test]
    fn a_short_name_is_told_of_the_search_list() {
        let hinted = |name, reading, conf: &ResolvConf| {
            hint(String::new(), &Name::from_ascii(name).unwrap(), reading, conf).contains("search=yes")
        };
        let searching = conf(&["ns.svc."], 5);
        assert!(hinted("a.b.svc.", Reading::AsItStands, &searching));
        assert!(!hinted("a.b.svc.", Reading::Complete, &searching));
        assert!(!hinted("a.b.c.d.e.f.", Reading::AsItStands, &searching));
        assert!(!hinted("a.", Reading::AsItStands, &conf(&[], 5)));
    }
}
