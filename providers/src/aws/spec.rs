//! The keys of `provider=aws`, and a list of instances to ask for made of their values.

use std::{collections::BTreeMap, num::NonZeroU16};

use aws_sdk_ec2::types::InstanceStateName;

use crate::{
    secret::SecretSource,
    spec::{
        error::SpecError,
        keys::{Keys, Schema},
    },
};

/// The provider's name, as in `provider=NAME`.
pub(crate) const NAME: &str = "aws";

/// The keys, explained in the README. The access key's id is no secret by itself, but is masked like one: no reader of a
/// log needs it.
pub(crate) const SCHEMA: Schema = Schema {
    provider: NAME,
    keys: &[
        "tag_key",
        "tag_value",
        "tag.KEY",
        "service",
        "region",
        "addr_type",
        "endpoint",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "profile",
        "states",
        "port",
        "page_size",
    ],
    secrets: &["access_key_id", "secret_access_key", "session_token"],
};

/// Most instances a page that EC2 gives, which makes the fewest calls.
const MAX_PAGE_SIZE: i32 = 1000;

/// Fewest instances a page that EC2 lets a caller ask for.
const MIN_PAGE_SIZE: i32 = 5;

/// The values of a spec, checked: instances to look for, the place to ask, the credentials, and the addresses to take.
#[derive(Clone)]
pub(crate) struct Instances {
    /// Keys and values of the tags that an instance must have, all of them. Never empty.
    pub(crate) tags: BTreeMap<String, String>,
    /// The states that count.
    pub(crate) states: Vec<InstanceStateName>,
    /// Region; `None`: found out at the first poll.
    pub(crate) region: Option<String>,
    /// URL of EC2; `None`: the region's own.
    pub(crate) endpoint: Option<String>,
    /// Credentials to ask with.
    pub(crate) credentials: Credentials,
    /// Kind of addresses to take.
    pub(crate) addr_type: AddrType,
    /// Port of every seed; `None`: the gossip port.
    pub(crate) port: Option<NonZeroU16>,
    /// Number of instances asked for at a time.
    pub(crate) page_size: i32,
}

/// The place that credentials come from.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// The spec, which has the keys or points to them.
    Keys(AccessKeys),
    /// A profile of the shared configuration, before anything in the environment.
    Profile(String),
    /// The first place at which the SDK finds them.
    Chain,
}

impl Credentials {
    /// The profile, if the spec names one.
    pub(crate) fn profile(&self) -> Option<&str> {
        match self {
            Self::Profile(name) => Some(name),
            Self::Keys(_) | Self::Chain => None,
        }
    }
}

/// An access key.
#[derive(Clone)]
pub(crate) struct AccessKeys {
    /// `access_key_id`.
    pub(crate) id: SecretSource,
    /// `secret_access_key`.
    pub(crate) secret: SecretSource,
    /// `session_token`, which temporary keys have.
    pub(crate) token: Option<SecretSource>,
}

/// Kind of an instance's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddrType {
    /// The private IPv4 address of the primary interface.
    PrivateV4,
    /// The public IPv4 address.
    PublicV4,
    /// Every unique local IPv6 address (fc00::/7) of every interface.
    PrivateV6,
    /// Every IPv6 address of every interface, as in go-discover.
    PublicV6,
}

impl AddrType {
    const ALL: [Self; 4] = [Self::PrivateV4, Self::PublicV4, Self::PrivateV6, Self::PublicV6];

    /// The name of the kind in a spec.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PrivateV4 => "private_v4",
            Self::PublicV4 => "public_v4",
            Self::PrivateV6 => "private_v6",
            Self::PublicV6 => "public_v6",
        }
    }
}

impl Instances {
    /// Reads and checks the values.
    pub(crate) fn read(mut keys: Keys) -> Result<Self, SpecError> {
        service(&mut keys)?;
        Ok(Self {
            tags: tags(&mut keys)?,
            states: states(&mut keys)?,
            region: region(&mut keys)?,
            endpoint: endpoint(&mut keys)?,
            credentials: credentials(&mut keys)?,
            addr_type: addr_type(&mut keys)?,
            port: keys.take_port()?,
            page_size: page_size(&mut keys)?,
        })
    }
}

/// Takes go-discover's choice between services. EC2 is the one that there is.
fn service(keys: &mut Keys) -> Result<(), SpecError> {
    let service = keys.take_optional("service");
    let remedy = match service.as_deref() {
        None | Some("ec2") => return Ok(()),
        Some("ecs") => {
            "is not supported: name the tasks by service discovery (Cloud Map) and use provider=dns, or service=ec2 for \
             the instances that they run on"
        }
        Some(_) => "is no service that has addresses: write service=ec2, or leave it out",
    };
    Err(keys.bad_value("service", &service.unwrap_or_default(), remedy))
}

fn tags(keys: &mut Keys) -> Result<BTreeMap<String, String>, SpecError> {
    let mut tags = keys.take_prefixed("tag.");
    match (keys.take_optional("tag_key"), keys.take("tag_value")) {
        (Some(key), Some(value)) => {
            if tags.contains_key(&key) {
                return Err(keys.conflict(format!("tag_key={key} and tag.{key} name the same tag: keep one")));
            }
            tags.insert(key, value);
        }
        (Some(key), None) => {
            return Err(keys.conflict(format!("tag_key={key} needs a value: add tag_value=VALUE")));
        }
        (None, Some(_)) => return Err(keys.conflict("tag_value needs the tag's name: add tag_key=KEY")),
        (None, None) if tags.is_empty() => {
            return Err(
                keys.conflict("no tag to look for: add tag_key=KEY tag_value=VALUE, or tag.KEY=VALUE")
            );
        }
        (None, None) => {}
    }
    Ok(tags)
}

fn states(keys: &mut Keys) -> Result<Vec<InstanceStateName>, SpecError> {
    let Some(list) = keys.take_optional("states") else {
        return Ok(vec![InstanceStateName::Running]);
    };
    let mut states = Vec::new();
    for name in list.split(',').map(str::trim) {
        let state = InstanceStateName::try_parse(name).map_err(|_| {
            let known = InstanceStateName::values().join(", ");
            keys.bad_value("states", name, format!("is no state of an instance: the states are {known}"))
        })?;
        states.push(state);
    }
    Ok(states)
}

fn region(keys: &mut Keys) -> Result<Option<String>, SpecError> {
    let region = keys.take_optional("region");
    match &region {
        Some(text) if !is_region(text) => {
            Err(keys.bad_value("region", text, "is no region: write one like us-east-1"))
        }
        _ => Ok(region),
    }
}

/// Tests whether a text can be a region, which becomes a part of a host name.
pub(crate) fn is_region(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn endpoint(keys: &mut Keys) -> Result<Option<String>, SpecError> {
    let Some(url) = keys.take_optional("endpoint") else {
        return Ok(None);
    };
    let uri = url.parse::<http::Uri>().ok();
    let is_good = uri.is_some_and(|uri| {
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
            && !has_user
    });
    if is_good {
        Ok(Some(url))
    } else {
        Err(keys.bad_value("endpoint", &url, "is no endpoint: write https://HOST[:PORT][/PATH] or http://…"))
    }
}

fn credentials(keys: &mut Keys) -> Result<Credentials, SpecError> {
    let profile = keys.take_optional("profile");
    let id = SecretSource::take(keys, "access_key_id")?;
    let secret = SecretSource::take(keys, "secret_access_key")?;
    let token = SecretSource::take(keys, "session_token")?;
    let problem = match (profile, id, secret, token) {
        (None, Some(id), Some(secret), token) => {
            return Ok(Credentials::Keys(AccessKeys { id, secret, token }));
        }
        (Some(profile), None, None, None) => return Ok(Credentials::Profile(profile)),
        (None, None, None, None) => return Ok(Credentials::Chain),
        (Some(_), ..) => {
            "profile and access keys exclude each other: keep profile, or access_key_id and secret_access_key"
        }
        (None, Some(_), None, _) => "access_key_id needs its other half: add secret_access_key",
        (None, None, Some(_), _) => "secret_access_key needs its other half: add access_key_id",
        (None, None, None, Some(_)) => {
            "session_token needs its keys: add access_key_id and secret_access_key"
        }
    };
    Err(keys.conflict(problem))
}

fn addr_type(keys: &mut Keys) -> Result<AddrType, SpecError> {
    let Some(name) = keys.take_optional("addr_type") else {
        return Ok(AddrType::PrivateV4);
    };
    AddrType::ALL.into_iter().find(|addr_type| addr_type.name() == name).ok_or_else(|| {
        let known = AddrType::ALL.map(AddrType::name).join(", ");
        keys.bad_value("addr_type", &name, format!("is no kind of address: the kinds are {known}"))
    })
}

fn page_size(keys: &mut Keys) -> Result<i32, SpecError> {
    let Some(text) = keys.take_optional("page_size") else {
        return Ok(MAX_PAGE_SIZE);
    };
    let size = text.parse().ok().filter(|size| (MIN_PAGE_SIZE..=MAX_PAGE_SIZE).contains(size));
    size.ok_or_else(|| {
        let remedy = format!("is no page size of EC2: a number from {MIN_PAGE_SIZE} to {MAX_PAGE_SIZE}");
        keys.bad_value("page_size", &text, remedy)
    })
}
