//! The list of instances, page by page, and the addresses in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use aws_sdk_ec2::{
    Client,
    types::{Filter, Instance},
};

use super::{
    failure::{Failure, Way},
    spec::{AddrType, Instances},
};
use crate::{
    discovery::{FailureKind, Instance as Facts, Seeds},
    line::one_line,
};

/// Most pages in a poll. With 1000 instances a page they hold more than an account can have; an endpoint that gives more
/// is broken.
const MAX_PAGES: usize = 200;

/// Most warnings about addresses that do not parse.
const MAX_WARNINGS: usize = 16;

/// Most characters shown of such an address, and of its instance's id.
const MAX_SHOWN: usize = 64;

/// The sum of the pages read so far.
#[derive(Default)]
struct Listing {
    ips: BTreeMap<IpAddr, Facts>,
    /// Number of instances.
    instances: usize,
    /// Number of instances without an address of the kind asked for.
    bare: usize,
    /// Number of those that have an IPv6 address.
    bare_with_v6: usize,
    warnings: Vec<String>,
}

/// Asks EC2 for all pages. If any page fails, the poll fails: half a list would make the asker forget the other half.
pub(crate) async fn list(client: &Client, spec: &Instances, port: u16, way: &Way) -> Result<Seeds, Failure> {
    let mut listing = Listing::default();
    let mut tokens = BTreeSet::new();
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let page = client
            .describe_instances()
            .set_filters(Some(filters(spec)))
            .max_results(spec.page_size)
            .set_next_token(token.take())
            .send()
            .await
            .map_err(|e| Failure::of_call(&e, way))?;
        for instance in page.reservations().iter().flat_map(|reservation| reservation.instances()) {
            listing.add(instance, spec.addr_type);
        }
        match page.next_token {
            Some(next) if !next.is_empty() => {
                if !tokens.insert(next.clone()) {
                    listing
                        .warnings
                        .push("EC2 gave the same page token twice: the list may be incomplete".to_owned());
                    return Ok(listing.into_seeds(spec.addr_type, port));
                }
                token = Some(next);
            }
            _ => return Ok(listing.into_seeds(spec.addr_type, port)),
        }
    }
    let sentence = format!("EC2 gives page after page: stopped after {MAX_PAGES}, is the endpoint EC2?");
    Err(Failure::new(FailureKind::Unavailable, &sentence))
}

fn filters(spec: &Instances) -> Vec<Filter> {
    let tags =
        spec.tags.iter().map(|(key, value)| Filter::builder().name(format!("tag:{key}")).values(value));
    let states = spec.states.iter().map(|state| state.as_str().to_owned()).collect();
    let states = Filter::builder().name("instance-state-name").set_values(Some(states));
    tags.chain([states]).map(|filter| filter.build()).collect()
}

impl Listing {
    fn add(&mut self, instance: &Instance, addr_type: AddrType) {
        self.instances += 1;
        let texts = addrs(instance, addr_type);
        let mut bare = true;
        for text in texts {
            match text.parse() {
                Ok(ip) if is_wanted(ip, addr_type) => {
                    bare = false;
                    self.ips.insert(ip, facts(instance));
                }
                Ok(_) => {}
                Err(_) if self.warnings.len() < MAX_WARNINGS => {
                    let short = |text: &str| one_line(text).chars().take(MAX_SHOWN).collect::<String>();
                    let id = short(instance.instance_id().unwrap_or("an instance"));
                    self.warnings.push(format!("{id} has the address `{}`, which is none", short(text)));
                }
                Err(_) => {}
            }
        }
        self.bare += usize::from(bare);
        self.bare_with_v6 += usize::from(bare && !addrs(instance, AddrType::PublicV6).is_empty());
    }

    fn into_seeds(mut self, addr_type: AddrType, port: u16) -> Seeds {
        if self.bare > 0 {
            let (bare, all, kind) = (self.bare, self.instances, addr_type.name());
            // An IPv6-only subnet gives no address of a private range: EC2 calls all of them public.
            let hint = match self.bare_with_v6 {
                0 => String::new(),
                some => format!("; {some} of them have an IPv6 address: addr_type=public_v6 takes those"),
            };
            self.warnings.push(format!("{bare} of {all} instances have no {kind} address{hint}"));
        }
        let instances = self.ips.into_iter().map(|(ip, instance)| (SocketAddr::new(ip, port), instance));
        let instances: BTreeMap<_, _> = instances.collect();
        let addrs = instances.keys().copied().collect();
        Seeds { addrs, valid_for: None, warnings: self.warnings, instances }
    }
}

/// Id, state and zone of an instance.
fn facts(instance: &Instance) -> Facts {
    let short = |text: &str| one_line(text).chars().take(MAX_SHOWN).collect::<String>();
    let state = instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str());
    let zone = instance.placement().and_then(|placement| placement.availability_zone());
    Facts {
        id: short(instance.instance_id().unwrap_or_default()),
        state: short(state),
        zone: zone.filter(|zone| !zone.is_empty()).map(short),
    }
}

fn addrs(instance: &Instance, addr_type: AddrType) -> Vec<&str> {
    match addr_type {
        AddrType::PrivateV4 => instance.private_ip_address().into_iter().collect(),
        AddrType::PublicV4 => instance.public_ip_address().into_iter().collect(),
        AddrType::PrivateV6 | AddrType::PublicV6 => {
            let interfaces = instance.network_interfaces().iter();
            interfaces.flat_map(|i| i.ipv6_addresses()).filter_map(|addr| addr.ipv6_address()).collect()
        }
    }
}

fn is_wanted(ip: IpAddr, addr_type: AddrType) -> bool {
    match (ip, addr_type) {
        (IpAddr::V4(_), AddrType::PrivateV4 | AddrType::PublicV4) | (IpAddr::V6(_), AddrType::PublicV6) => {
            true
        }
        (IpAddr::V6(ip), AddrType::PrivateV6) => ip.is_unique_local(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{
        InstanceIpv6Address, InstanceNetworkInterface, InstanceState, InstanceStateName, Placement,
    };

    use super::*;

    fn instance(v6: &[&str]) -> Instance {
        let v6 = v6.iter().map(|ip| InstanceIpv6Address::builder().ipv6_address(*ip).build());
        let interface = InstanceNetworkInterface::builder().set_ipv6_addresses(Some(v6.collect())).build();
        Instance::builder()
            .instance_id("i-1")
            .private_ip_address("10.0.0.1")
            .network_interfaces(interface)
            .build()
    }

    fn seeds(addr_type: AddrType) -> (Vec<String>, Vec<String>) {
        let mut listing = Listing::default();
        listing.add(&instance(&["2001:db8::1", "fd00::1", "fd00::1"]), addr_type);
        listing.add(&instance(&["2001:db8::2", "junk"]), addr_type);
        let seeds = listing.into_seeds(addr_type, 7946);
        (seeds.addrs.iter().map(ToString::to_string).collect(), seeds.warnings)
    }

    #[test]
    fn private_v6_is_unique_local_and_public_v6_is_all() {
        let junk = "i-1 has the address `junk`, which is none".to_owned();
        assert_eq!(
            seeds(AddrType::PrivateV6),
            (
                vec!["[fd00::1]:7946".to_owned()],
                vec![
                    junk.clone(),
                    "1 of 2 instances have no private_v6 address; 1 of them have an IPv6 address: \
                     addr_type=public_v6 takes those"
                        .to_owned()
                ]
            )
        );
        let all = ["[2001:db8::1]:7946", "[2001:db8::2]:7946", "[fd00::1]:7946"].map(str::to_owned).to_vec();
        assert_eq!(seeds(AddrType::PublicV6), (all, vec![junk]));
    }

    #[test]
    fn each_address_has_its_instance() {
        let state = InstanceState::builder().name(InstanceStateName::Running).build();
        let placement = Placement::builder().availability_zone("eu-central-1a").build();
        let known = Instance::builder()
            .instance_id("i-1")
            .private_ip_address("10.0.0.1")
            .state(state)
            .placement(placement);
        let bare = Instance::builder().private_ip_address("10.0.0.2");
        let mut listing = Listing::default();
        [known, bare].into_iter().for_each(|instance| listing.add(&instance.build(), AddrType::PrivateV4));
        let seeds = listing.into_seeds(AddrType::PrivateV4, 1);
        let zone = Some("eu-central-1a".to_owned());
        let known = Facts { id: "i-1".to_owned(), state: "running".to_owned(), zone };
        let instances = [("10.0.0.1:1", known), ("10.0.0.2:1", Facts::default())];
        assert_eq!(seeds.instances, instances.map(|(addr, facts)| (addr.parse().unwrap(), facts)).into());
    }

    #[test]
    fn one_private_v4_and_no_public_one() {
        assert_eq!(seeds(AddrType::PrivateV4), (vec!["10.0.0.1:7946".to_owned()], vec![]));
        let none = "2 of 2 instances have no public_v4 address; 2 of them have an IPv6 address: addr_type=public_v6 takes those".to_owned();
        assert_eq!(seeds(AddrType::PublicV4), (vec![], vec![none]));
    }
}
