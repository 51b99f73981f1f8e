//! Credentials and region, place by place: boto3, which is AWS's own, and the provider in the same environment, at doubles of
//! EC2, STS, instance metadata and container credentials.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    one_line,
    world::{World, signer, sts},
};
use crate::{
    aws::ONE,
    aws_faults::error_document,
    black_hole::BlackHole,
    command::discover,
    daemon::free_port,
    http_double::{HttpDouble, Identity, Reply},
};

/// An access key in the environment.
const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];

/// A row of the table: its name, its environment, the last number of the address that EC2 has for its signer, and whether
/// boto3 finds it too.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, bool);

/// The home of the tests in which AWS's tools find credentials.
fn furnished(name: &str) -> World {
    let world = World::new(name);
    let process = r#"sh -c 'echo "{\"Version\":1,\"AccessKeyId\":\"AKIAPROC\",\"SecretAccessKey\":\"s\"}"'"#;
    world.file(
        "config",
        &format!(
            "[default]\nregion = eu-north-1\n[profile two]\nregion = eu-north-1\n\
             [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = two\nregion = us-east-1\n\
             [profile process]\ncredential_process = {process}\nregion = us-east-1\n\
             [profile both]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = process\nregion = us-east-1\n"
        ),
    );
    let key = |id| format!("aws_access_key_id = {id}\naws_secret_access_key = s\n");
    world.file("credentials", &format!("[default]\n{}[two]\n{}", key("AKIAFILE"), key("AKIATWO")));
    world
}

/// Rows in which boto3 finds the instance, and the one that each finds. botocore takes an empty `AWS_REGION` for a region;
/// the SDKs for Go and the tools made with them do not, as the provider: those rows have no boto3.
#[test]
fn found_where_aws_tools_find() {
    let world = furnished("found");
    let [id, secret] = KEYS;
    let region = ("AWS_REGION", "us-east-1");
    let old = ("AWS_DEFAULT_REGION", "us-east-1");
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "$HOME/token");
    let arn = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    let nowhere = [("AWS_CONFIG_FILE", "/no/such"), ("AWS_SHARED_CREDENTIALS_FILE", "/no/such")];
    let [no_config, no_credentials] = nowhere;
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "$CONTAINER/v1");
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "$IMDS");
    let empty = |name: &'static str| (name, "");
    let rows: [Row<'_>; 16] = [
        ("keys and region", &[id, secret, ("AWS_DEFAULT_REGION", "eu-west-3")], "1", true),
        ("keys, region of the profile", &[id, secret], "8", true),
        (
            "an empty AWS_REGION, AWS_DEFAULT_REGION",
            &[id, secret, empty("AWS_REGION"), ("AWS_DEFAULT_REGION", "eu-west-3")],
            "1",
            false,
        ),
        ("an empty AWS_REGION, region of the profile", &[id, secret, empty("AWS_REGION")], "8", false),
        ("empty keys, the file's", &[empty("AWS_ACCESS_KEY_ID"), empty("AWS_SECRET_ACCESS_KEY")], "2", true),
        ("the default profile", &[], "2", true),
        ("an empty AWS_PROFILE", &[empty("AWS_PROFILE")], "2", false),
        (
            "empty names of files",
            &[empty("AWS_CONFIG_FILE"), empty("AWS_SHARED_CREDENTIALS_FILE")],
            "2",
            false,
        ),
        ("another profile", &[("AWS_PROFILE", "two")], "3", true),
        ("the role of a profile", &[("AWS_PROFILE", "role")], "4", true),
        ("a web identity", &[no_config, no_credentials, old, token, arn], "4", true),
        (
            "a container's credentials",
            &[no_config, no_credentials, old, uri, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token")],
            "5",
            true,
        ),
        ("instance metadata", &[no_config, no_credentials, old, metadata], "6", true),
        (
            "instance metadata, the region too",
            &[no_config, no_credentials, metadata, empty("AWS_REGION")],
            "6",
            false,
        ),
        ("a command", &[("AWS_PROFILE", "process")], "7", true),
        ("the role of a command", &[("AWS_PROFILE", "both"), region], "4", true),
    ];
    for (row, environment, last, has_boto) in rows {
        let ours = world.ask("", environment);
        let boto = if has_boto { world.boto(environment) } else { "not asked".to_owned() };
        println!("{row:45} provider {:?} {:?}, boto3 {boto}", ours.addrs, ours.complaints);
        assert_eq!(ours.addrs, [format!("10.0.0.{last}:7946")], "{row}: {ours:?}");
        if has_boto {
            assert_eq!(boto, format!("['10.0.0.{last}']"), "{row}");
        }
    }
}

/// Asserts that a poll fails with a line that has these words.
fn assert_says(world: &World, keys: &str, row: &[(&str, &str)], words: &[&str]) {
    let output = world.ask(keys, row);
    let line = one_line(&output, 4);
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(output.took < Duration::from_secs(16), "{output:?}");
}

#[test]
fn the_error_names_the_place() {
    let world = World::new("named");
    let [id, secret] = KEYS;
    let region = "region=us-east-1";
    let other = |half| format!("{half} is set without its other half");
    assert_says(&world, region, &[id], &[&other("AWS_ACCESS_KEY_ID"), "set AWS_SECRET_ACCESS_KEY too"]);
    assert_says(&world, region, &[secret], &[&other("AWS_SECRET_ACCESS_KEY"), "set AWS_ACCESS_KEY_ID too"]);
    let session = [("AWS_SESSION_TOKEN", "t")];
    assert_says(&world, region, &session, &[&other("AWS_SESSION_TOKEN"), "AWS_ACCESS_KEY_ID and"]);
    for bad in ["garbage value", "us-east-1 ", "us-east-1\n", "http://x/y", "us_east_1"] {
        let sentence = format!("AWS_REGION is {bad:?}, which is no region: write one like us-east-1");
        assert_says(&world, "", &[id, secret, ("AWS_REGION", bad)], &[&sentence]);
    }
    let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "$HOME/token");
    let arn = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    assert_says(&world, region, &[token], &["needs its other half: set AWS_ROLE_ARN"]);
    let closed = format!("http://127.0.0.1:{}", free_port());
    let gone = [token, arn, ("AWS_ENDPOINT_URL_STS", closed.as_str())];
    assert_says(
        &world,
        region,
        &gone,
        &[&format!("aws: STS at {closed}, asked with the token of"), "Connection refused"],
    );
    let refusing = HttpDouble::start(|_, _| {
        let text = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform \
            sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>";
        Reply::Answer(403, "", text.to_owned())
    });
    let url = refusing.url();
    let refused = [token, arn, ("AWS_ENDPOINT_URL_STS", url.as_str())];
    assert_says(
        &world,
        region,
        &refused,
        &["refuses", "Not authorized to perform sts:AssumeRoleWithWebIdentity"],
    );
    let silent = HttpDouble::start(|_, _| Reply::Silence).url();
    let silence = [token, arn, ("AWS_ENDPOINT_URL_STS", silent.as_str())];
    let sentence = format!(
        "STS at {silent}, asked with the token of AWS_WEB_IDENTITY_TOKEN_FILE, gave no credentials within 8s"
    );
    assert_says(&world, region, &silence, &[&sentence]);
    let container = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "$CONTAINER/v1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "bad"),
    ];
    let place =
        format!("the container's credential service at {}/v1 gives no credentials", world.container.url());
    assert_says(&world, region, &container, &[&place]);
    let missing = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "$CONTAINER/v1"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/no/such"),
    ];
    assert_says(
        &world,
        region,
        &missing,
        &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/no/such cannot be read"],
    );
}

#[test]
fn the_error_names_the_file_and_the_command() {
    let world = World::new("files");
    let broken = "the AWS configuration files cannot be parsed: error parsing ";
    world.file("credentials", "[default\naws_access_key_id=A\n");
    assert_says(&world, "", &[], &["add region=REGION", broken, ".aws/credentials on line 1"]);
    assert_says(&world, "region=us-east-1", &[], &[broken, ".aws/credentials on line 1"]);
    world.file("credentials", "");
    world.file("config", "[profile x\nregion=us-east-1\n");
    assert_says(&world, "", &KEYS, &[broken, ".aws/config on line 1"]);
    let secret = "wJalrXUtnFEMI";
    world.file(
        "config",
        &format!(
            "[profile p]\nregion=us-east-1\ncredential_process=echo {secret} >&2; exit 3\n\
             [profile s]\nregion=us-east-1\nsso_start_url=https://x.awsapps.com/start\nsso_region=us-east-1\n\
             sso_account_id=1\nsso_role_name=r\n"
        ),
    );
    let output = world.ask("profile=p", &[]);
    let line = one_line(&output, 4);
    assert!(line.contains("the credential_process of the profile `p` failed (exit status: 3)"), "{line}");
    assert!(!line.contains(secret), "{line}");
    assert_says(&world, "profile=s", &[], &["the profile `s` logs a person in (SSO), which no agent can"]);
}

/// Number of processes with this command line.
fn processes(words: &[&str]) -> usize {
    let line = words.join("\0");
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|found| String::from_utf8_lossy(found).starts_with(&line)).count()
}

#[tokio::test]
async fn a_credential_process_that_hangs_is_killed() {
    let world = World::new("hanging");
    let mark = format!("88{}", std::process::id());
    let command = format!("sleep {mark} & sleep {mark}; true");
    world.file("config", &format!("[profile p]\nregion=us-east-1\ncredential_process={command}\n"));
    let sentence =
        "the credential_process of the profile `p` printed no credentials within 8s and was killed";
    assert_says(&world, "profile=p", &[], &[sentence]);
    // The kernel ends a killed process when it has its turn.
    let gone = async {
        while processes(&["sleep", &mark]) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("none is left");
}

#[test]
fn the_error_names_the_proxy() {
    let world = World::new("proxied");
    let refusing = HttpDouble::start(|_, _| Reply::Answer(403, "", String::new())).url();
    let closed = format!("http://user:secret@127.0.0.1:{}", free_port());
    let [id, secret] = KEYS;
    for (proxy, host) in [(&refusing, &refusing[7..]), (&closed, closed.rsplit('@').next().unwrap())] {
        let row = [id, secret, ("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "")];
        let sentence = format!(
            "EC2 cannot be reached through the proxy {host} of HTTPS_PROXY: check the proxy and NO_PROXY"
        );
        let environment = world.environment(&row);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let output =
            discover("provider=aws tag.a=b region=us-east-1 endpoint=https://ec2.test", 1, &environment);
        let line = one_line(&output, 4);
        assert!(line.contains(&sentence) && !line.contains("user:secret"), "{line}");
        // Without the proxy's name in it, an error is the endpoint's.
        let direct = [id, secret, ("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "127.0.0.1")];
        assert_says(&world, "region=xx", &direct, &["AKIAENV-xx"]);
    }
}

/// Plays EC2 and STS over TLS, with a certificate that the system does not know.
#[test]
fn a_bundle_of_certificates() {
    let world = World::new("bundle");
    let identity = Identity::new("bundle");
    let signers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&signers);
    let ec2 = HttpDouble::start_tls(&identity, move |request, _| {
        if signer(request).starts_with("ASIASTS") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reply::Answer(200, "", ONE.to_owned())
    });
    let sts = HttpDouble::start_tls(&identity, |request, _| sts(request));
    let ask = |environment: &[(&str, &str)]| {
        let url = sts.url();
        let row = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "$HOME/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ];
        let environment = world.environment(&[&row[..], environment].concat());
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        discover(&format!("provider=aws tag.a=b region=us-east-1 endpoint={}", ec2.url()), 1, &environment)
    };
    assert!(one_line(&ask(&[]), 4).contains("invalid peer certificate"), "STS is asked first");
    let bundle = [("AWS_CA_BUNDLE", identity.certificate.as_str())];
    assert_eq!(ask(&bundle).addrs, ["10.0.0.1:7946"]);
    world.file("config", &format!("[default]\nca_bundle = {}\n", identity.certificate));
    assert_eq!(ask(&[("AWS_CA_BUNDLE", "")]).addrs, ["10.0.0.1:7946"], "the profile's");
    assert_eq!(signers.load(Ordering::SeqCst), 2);
    let missing = ask(&[("AWS_CA_BUNDLE", "/no/such")]);
    assert!(one_line(&missing, 4).contains("AWS_CA_BUNDLE: /no/such cannot be read"), "{missing:?}");
    let empty = ask(&[("AWS_CA_BUNDLE", "/dev/null")]);
    assert!(one_line(&empty, 4).contains("AWS_CA_BUNDLE: /dev/null has no certificate in it"), "{empty:?}");
}

/// A silent STS, and one behind a black hole, is blamed instead of EC2; and the poll has its time.
#[tokio::test]
async fn sts_behind_a_black_hole() {
    let world = furnished("dark");
    let hole = BlackHole::open().await;
    let row = [("AWS_PROFILE", "role"), ("AWS_ENDPOINT_URL_STS", hole.url.as_str())];
    let place = format!("aws: STS at {}, asked for the role of the profile `role`,", hole.url);
    assert_says(&world, "", &row, &[&place]);
}

/// EC2 tells its time in every answer, so that a wrong clock is known from a wrong key.
#[test]
fn a_clock_that_is_wrong() {
    for (headers, sentence) in [
        ("Date: Thu, 01 Jan 2099 00:00:00 GMT\r\n", "min behind EC2's: set it (NTP) (AuthFailure"),
        ("Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n", "min ahead of EC2's: set it (NTP) (AuthFailure"),
        ("", "check access key, secret and session token, and this host's clock (AuthFailure"),
    ] {
        let ec2 = HttpDouble::start(move |_, _| Reply::Answer(401, headers, error_document("AuthFailure")));
        let spec = format!("provider=aws tag.a=b endpoint={} {}", ec2.url(), crate::aws::KEYS);
        let output = discover(&spec, 1, &[]);
        assert!(one_line(&output, 4).contains(sentence), "{output:?}");
    }
}
