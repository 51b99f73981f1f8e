//! Specs as users write them: those that are taken and their canonical forms, and the sentences that refuse others.

use chronik_providers::Spec;

/// Asserts that a spec prints in this canonical form, which parses to an equal spec.
fn assert_prints(text: &str, canonical: &str) {
    let spec = Spec::parse(text).unwrap();
    assert_eq!(spec.to_string(), canonical);
    if !canonical.contains("<redacted>") {
        assert_eq!(Spec::parse(canonical).unwrap(), spec);
    }
}

/// Asserts that a spec is refused with this sentence.
fn assert_refused(text: &str, sentence: &str) {
    assert_eq!(Spec::parse(text).unwrap_err().to_string(), sentence, "{text}");
}

#[test]
fn address_lists() {
    assert_prints("a:7946,b", "provider=static addrs=a:7946,b");
    assert_prints(" a:7946 b\n[::1]:1 ", "provider=static addrs=\"a:7946 b\\n[::1]:1\"");
    assert_prints("addrs = 'a b' provider = static", "provider=static addrs=\"a b\"");
    assert_eq!(Spec::parse("a").unwrap().provider(), "static");
    assert_refused(
        "  ",
        "the spec is empty: give provider=NAME and its keys, or addresses such as 10.0.0.1:7946,10.0.0.2",
    );
    assert_refused("a:0", "provider=static: addrs: `a:0` has a bad port: a port is a number from 1 to 65535");
    assert_refused(
        "10.0.0.256",
        "provider=static: addrs: `10.0.0.256` is no IPv4 address: write four numbers from 0 to 255 with dots between them",
    );
    assert_refused(
        "provider=static",
        "provider=static needs `addrs`: add addrs=10.0.0.1:7946,node-2.example.com",
    );
    assert_refused(
        "provider=static addrs=,",
        "provider=static: addrs: `,` lists no address: write addrs=HOST:PORT,HOST",
    );
    assert_refused(
        "10.0.0.1,224.0.0.1",
        "provider=static: addrs: `224.0.0.1` is the address of a group: give the address of one host",
    );
    let many = vec!["a"; 257].join(",");
    assert_refused(&many, "provider=static: addrs lists 257 addresses: 256 at most, and a few are enough");
}

#[test]
fn grammar_and_names() {
    assert_refused(
        "provider=static addrs=a foo",
        "column 25: a word without `=`: write KEY=VALUE, and quote a value that has blanks in it: KEY=\"a b\"",
    );
    assert_refused(
        "name=a",
        "the spec names no provider: add provider=NAME, where NAME is one of aws, dns, static",
    );
    assert_refused(
        "provider=awss a=b",
        "unknown provider `awss`; did you mean `aws`?: the providers are aws, dns, static",
    );
    assert_refused("provider=zzz a=b", "unknown provider `zzz`: the providers are aws, dns, static");
    assert_refused("provider=static adrs=a", "unknown key `adrs` for provider=static; did you mean `addrs`?");
    assert_refused("provider=static zz=a", "unknown key `zz` for provider=static");
}

#[cfg(not(feature = "aws"))]
#[test]
fn aws_is_not_in_this_build() {
    assert_refused("provider=aws tag_key=a", "provider=aws is not in this build: build with --features aws");
}

#[cfg(not(feature = "dns"))]
#[test]
fn dns_is_not_in_this_build() {
    assert_refused("provider=dns name=a", "provider=dns is not in this build: build with --features dns");
}

#[cfg(feature = "dns")]
#[test]
fn dns() {
    assert_prints(
        "provider=dns name=_chronik._udp.example.com",
        "provider=dns name=_chronik._udp.example.com",
    );
    assert_prints(
        "provider=dns port=1 resolver=[::1]:53 name=a.b.",
        "provider=dns name=a.b. port=1 resolver=[::1]:53",
    );
    assert_refused(
        "provider=dns",
        "provider=dns needs `name`: add name=_gossip._udp.example.com, or name=HOST port=PORT",
    );
    assert_refused(
        "provider=dns name=10.0.0.1",
        "provider=dns: name: `10.0.0.1` is an address, not a name: use provider=static addrs=10.0.0.1",
    );
    assert_refused(
        "provider=dns name=a..b",
        "provider=dns: name: `a..b` is no host name: labels of 1 to 63 letters, digits, `-` and `_` with dots between \
         them, 253 characters at most (international names in their xn-- form)",
    );
    assert_refused(
        "provider=dns name=a port=70000",
        "provider=dns: port: `70000` has a bad port: a port is a number from 1 to 65535",
    );
    assert_refused(
        "provider=dns name=a resolver=1.2.3.4:x",
        "provider=dns: resolver: `1.2.3.4:x` has a bad port: a port is a number from 1 to 65535",
    );
    assert_prints("provider=dns name=a search=yes", "provider=dns name=a search=yes");
    assert_refused("provider=dns name=a search=1", "provider=dns: search: `1` is neither yes nor no");
    assert_refused(
        "provider=dns name=a. search=yes",
        "provider=dns: name=a. ends with a dot, so no search list is tried: leave out the dot or search=yes",
    );
    assert_refused("provider=dns nam=a", "unknown key `nam` for provider=dns; did you mean `name`?");
    assert_refused(
        "provider=dns name=\"\"",
        "provider=dns needs `name`: add name=_gossip._udp.example.com, or name=HOST port=PORT",
    );
}

#[cfg(feature = "aws")]
mod aws {
    use proptest::prelude::*;

    use super::{Spec, assert_prints, assert_refused};

    proptest! {
        /// A spec may be quoted or not, whole or cut off: the secret in it is never shown.
        #[test]
        fn no_secret_is_ever_printed(
            secret in "[A-Za-z0-9+/=]{12,40}",
            quote in "[\"']?",
            end in "(\"|'| foo| =| access_key_id=a tag.a=b| tag.a=b)?",
        ) {
            for key in ["access_key_id", "secret_access_key", "session_token"] {
                let text = format!("provider=aws {key}={quote}{secret}{quote}{end}");
                let seen = match Spec::parse(&text) {
                    Ok(spec) => format!("{spec} {spec:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                prop_assert!(!seen.contains(secret.trim_matches('=')), "{seen}");
            }
        }
    }

    /// Asserts that a spec with these keys, and the tag that every spec needs, is refused with this sentence.
    fn assert_refused_with(keys: &str, sentence: &str) {
        assert_refused(&format!("provider=aws tag.a=b {keys}"), sentence);
    }

    #[test]
    fn taken_as_go_discover_takes_it() {
        assert_prints(
            "provider=aws tag_key=chronik tag_value=server",
            "provider=aws tag_key=chronik tag_value=server",
        );
        assert_prints(
            "tag_value=\"\" tag_key=\"a b\" provider=aws region=eu-west-1 addr_type=public_v4",
            "provider=aws addr_type=public_v4 region=eu-west-1 tag_key=\"a b\" tag_value=\"\"",
        );
    }

    /// Templates write every key, and go-discover takes an empty value for none.
    #[test]
    fn empty_values_are_left_out_as_by_go_discover() {
        let empty = "provider=aws tag_key=a tag_value=b service=ec2 region=\"\" addr_type=\"\" access_key_id=\"\" \
            secret_access_key=\"\" session_token=\"\" endpoint=\"\" profile=\"\" port=\"\"";
        assert!(Spec::parse(empty).unwrap().connect(1).is_ok());
        assert_refused_with(
            "service=ecs",
            "provider=aws: service: `ecs` is not supported: name the tasks by service discovery (Cloud Map) and use \
             provider=dns, or service=ec2 for the instances that they run on",
        );
    }

    #[test]
    fn more_than_go_discover_takes() {
        assert_prints(
            "provider=aws \"tag.Owner Name\"='a=b' tag.env=prod states=running,pending port=1 page_size=5 \
             profile=p endpoint=http://127.0.0.1:1/x",
            "provider=aws endpoint=http://127.0.0.1:1/x page_size=5 port=1 profile=p states=running,pending \
             \"tag.Owner Name\"=\"a=b\" tag.env=prod",
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let text =
            "provider=aws tag.a=b access_key_id=AKIAHUNTER secret_access_key='hunter2=' session_token=env:T";
        assert_prints(
            text,
            "provider=aws access_key_id=<redacted> secret_access_key=<redacted> session_token=env:T tag.a=b",
        );
        let debug = format!("{:?}", Spec::parse(text).unwrap());
        assert!(!debug.to_lowercase().contains("hunter"), "{debug}");
        assert_refused_with(
            "access_key_id=<redacted> secret_access_key=x",
            "access_key_id: this is what a printed spec shows in place of a secret: give the secret, env:NAME or file:PATH",
        );
        assert_refused_with(
            "secret_access_key=hunter2=",
            "column 47: the value of `secret_access_key` has a `=` in it: quote it: secret_access_key=\"VALUE\"",
        );
    }

    #[test]
    fn a_missing_secret_shows_at_the_start() {
        let spec = "provider=aws tag.a=b access_key_id=a secret_access_key=file:/no/such";
        let error = Spec::parse(spec).unwrap().connect(1).err().unwrap();
        assert_eq!(
            error.to_string(),
            "secret_access_key: /no/such cannot be read: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn tags() {
        assert_refused(
            "provider=aws region=a",
            "provider=aws: no tag to look for: add tag_key=KEY tag_value=VALUE, or tag.KEY=VALUE",
        );
        assert_refused(
            "provider=aws tag_key=a",
            "provider=aws: tag_key=a needs a value: add tag_value=VALUE",
        );
        assert_refused(
            "provider=aws tag_value=a",
            "provider=aws: tag_value needs the tag's name: add tag_key=KEY",
        );
        assert_refused_with(
            "tag_key=a tag_value=c",
            "provider=aws: tag_key=a and tag.a name the same tag: keep one",
        );
        assert_refused(
            "provider=aws tag_kye=a",
            "unknown key `tag_kye` for provider=aws; did you mean `tag_key`?",
        );
        assert_refused("provider=aws tag.=a", "unknown key `tag.` for provider=aws; did you mean `tag.KEY`?");
        assert_refused_with("tag.a=c", "column 22: `tag.a` is given twice: keep one of them");
    }

    #[test]
    fn credentials() {
        assert_refused_with(
            "access_key_id=a",
            "provider=aws: access_key_id needs its other half: add secret_access_key",
        );
        assert_refused_with(
            "secret_access_key=a",
            "provider=aws: secret_access_key needs its other half: add access_key_id",
        );
        assert_refused_with(
            "session_token=a",
            "provider=aws: session_token needs its keys: add access_key_id and secret_access_key",
        );
        assert_refused_with(
            "profile=p session_token=a",
            "provider=aws: profile and access keys exclude each other: keep profile, or access_key_id and secret_access_key",
        );
    }

    #[test]
    fn values() {
        assert_refused_with(
            "addr_type=private",
            "provider=aws: addr_type: `private` is no kind of address: the kinds are private_v4, public_v4, private_v6, \
             public_v6",
        );
        assert_refused_with(
            "states=up",
            "provider=aws: states: `up` is no state of an instance: the states are pending, running, shutting-down, \
             stopped, stopping, terminated",
        );
        assert_refused_with("region=US", "provider=aws: region: `US` is no region: write one like us-east-1");
        for size in ["4", "1001", "x"] {
            assert_refused_with(
                &format!("page_size={size}"),
                &format!("provider=aws: page_size: `{size}` is no page size of EC2: a number from 5 to 1000"),
            );
        }
        for url in ["localhost:1", "ftp://a", "http://", "http://a b", "http://u:p@h", "http://h?q"] {
            assert_refused_with(
                &format!("endpoint={url:?}"),
                &format!(
                    "provider=aws: endpoint: `{url}` is no endpoint: write https://HOST[:PORT][/PATH] or http://…"
                ),
            );
        }
    }
}
