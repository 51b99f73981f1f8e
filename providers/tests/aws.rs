//! `provider=aws`: filters, regions, credentials and permissions, against moto and doubles of EC2 and instance metadata.

mod places;
mod world;

use std::time::Duration;

use chronik_providers::{Cadence, FailureKind, Spec};
use serde_json::Value;

use crate::{
    aws_faults::error_document,
    black_hole::BlackHole,
    command::{Output, discover},
    fleet::{Finding, Fleet},
    http_double::{HttpDouble, Reply},
    imds::{self, Role},
    moto::Moto,
};

/// The keys of a spec for an account that moto and the doubles accept.
pub(crate) const KEYS: &str = "region=us-east-1 access_key_id=any secret_access_key=any";
/// The error of a poll without a region.
const NO_REGION: &str =
    "error: aws: no region in the spec, AWS_REGION, a profile, ECS or instance metadata: add region=REGION (";
/// A list of no instances, in the form of EC2.
const EMPTY: &str = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";
/// A list of one instance, in the form of EC2.
pub(crate) const ONE: &str = "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><privateIpAddress>10.0.0.1\
    </privateIpAddress></item></instancesSet></item></reservationSet></DescribeInstancesResponse>";

/// Writes a file for this test alone and returns its path.
fn scratch(name: &str, text: &str) -> String {
    let path = format!("{}/{name}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&path, text).unwrap();
    path
}

/// Asserts that a command ended with this code, one line of complaint and no address; returns that line.
fn one_line(output: &Output, code: i32) -> &str {
    let [line] = output.complaints.as_slice() else { panic!("not one line: {output:?}") };
    assert_eq!((output.code, output.addrs.len()), (code, 0), "{output:?}");
    line
}

#[test]
fn a_fleet_of_270() {
    let fleet = Fleet::start();
    let tag = |i: &Value, key: &str, value: &str| i["tags"][key] == value;
    let server = |i: &Value| tag(i, "chronik", "server") && i["state"] == "running";
    // The first page, which is all that go-discover reads: moto makes pages, so the next line proves that we read all.
    assert_eq!(fleet.single_call, 100);
    let all = Finding { addrs: 270, complaints: vec![] };
    assert_eq!(fleet.find("tag_key=chronik tag_value=server", "private_v4", &server), all);
    fleet.find("tag_key=chronik tag_value=server page_size=5", "private_v4", &server);
    fleet.find("tag.chronik=serv*", "private_v4", &server);
    let any_case = |i: &Value| server(i) || tag(i, "chronik", "Server");
    assert_eq!(fleet.find("tag.chronik=?erver", "private_v4", &any_case).addrs, 275);
    let prod = |i: &Value| server(i) && tag(i, "env", "prod");
    assert_eq!(fleet.find("tag_key=chronik tag_value=server tag.env=prod", "private_v4", &prod).addrs, 5);
    let owned = |i: &Value| prod(i) && tag(i, "Owner Name", "a=b");
    assert_eq!(fleet.find("tag.chronik=server \"tag.Owner Name\"='a=b'", "private_v4", &owned).addrs, 2);
    let stopped =
        |i: &Value| tag(i, "chronik", "server") && (i["state"] == "stopped" || i["state"] == "running");
    assert_eq!(fleet.find("tag.chronik=server states=running,stopped", "private_v4", &stopped).addrs, 274);
    addresses_of_every_kind(&fleet, &server);
}

fn addresses_of_every_kind(fleet: &Fleet, server: &dyn Fn(&Value) -> bool) {
    let bare = vec!["warning: 260 of 270 instances have no public_v4 address".to_owned()];
    let public = fleet.find("tag.chronik=server addr_type=public_v4", "public_v4", server);
    assert_eq!(public, Finding { addrs: 10, complaints: bare });
    let v6 = |i: &Value| i["tags"]["chronik"] == "v6";
    let all = Finding { addrs: 6, complaints: vec![] };
    assert_eq!(fleet.find("tag.chronik=v6 addr_type=public_v6", "v6", &v6), all);
    let private = fleet.ask("tag.chronik=v6 addr_type=private_v6");
    assert_eq!(
        one_line(&private, 2),
        "warning: 3 of 3 instances have no private_v6 address; 3 of them have an IPv6 address: addr_type=public_v6 takes those"
    );
    let nobody = fleet.ask("tag.chronik=nobody");
    assert_eq!((nobody.code, nobody.addrs.len(), nobody.complaints.len()), (2, 0, 0));
    let port = fleet.ask("tag.env=prod port=1");
    assert!(port.addrs.len() == 5 && port.addrs.iter().all(|addr| addr.ends_with(":1")), "{port:?}");
}

#[test]
fn signatures_and_permissions() {
    let moto = Moto::start();
    let users = moto.fill("users", &[]);
    let key = |user: &str, half: &str| users[user][half].as_str().unwrap().to_owned();
    let ask = |id: &str, secret: &str, more: &str| {
        let spec = format!(
            "provider=aws tag.chronik=server endpoint={} region=us-east-1 access_key_id={id} secret_access_key={secret:?} {more}",
            moto.url
        );
        discover(&spec, 1, &[("CHRONIK_SECRET", key("reader", "secret").as_str())])
    };
    let (id, secret) = (key("reader", "id"), key("reader", "secret"));
    assert_eq!(ask(&id, &secret, "").addrs.len(), 1);
    assert_eq!(ask(&id, "env:CHRONIK_SECRET", "").addrs.len(), 1);
    let wrong = "error: aws: the credentials are wrong: check access key, secret and session token, and this \
        host's clock (AuthFailure: AWS was not able to validate the provided access credentials, HTTP 401";
    for output in [ask(&id, "wrong", ""), ask("AKIAWRONG", &secret, ""), ask(&id, &secret, "session_token=x")]
    {
        assert!(one_line(&output, 4).starts_with(wrong), "{output:?}");
    }
    let nobody = ask(&key("nobody", "id"), &key("nobody", "secret"), "");
    let denied = "error: aws: not allowed: the role or user needs the permission ec2:DescribeInstances (AccessDenied: ";
    assert!(one_line(&nobody, 4).starts_with(denied), "{nobody:?}");
}

#[test]
fn an_instance_knows_its_region_and_its_role() {
    let ec2 = HttpDouble::start(|request, _| {
        let signed = request.header("authorization").unwrap_or_default();
        let token = request.header("x-amz-security-token").unwrap_or_default();
        assert!(signed.contains("Credential=ASIAROLE/") && signed.contains("/us-east-1/ec2/"), "{signed}");
        assert_eq!(token, "session");
        assert!(request.body.contains("MaxResults=1000"), "{}", request.body);
        Reply::Answer(200, "", ONE.to_owned())
    });
    let imds = imds::start(Role::Attached);
    let spec = format!("provider=aws tag.a=b endpoint={}", ec2.url());
    let env = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url())];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let output = discover(&spec, 3, &env);
    assert_eq!((output.code, output.addrs), (0, vec!["10.0.0.1:7946".to_owned(); 3]));
    assert_eq!((ec2.requests(), ec2.connections()), (3, 1), "one client for all polls");
    assert_eq!(
        imds.requests(),
        4,
        "region and credentials are asked for once: token, region, role, credentials"
    );
}

#[test]
fn an_instance_without_a_role() {
    let imds = imds::start(Role::Missing);
    let url = imds.url();
    let output = discover("provider=aws tag.a=b", 1, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    assert_eq!(
        one_line(&output, 4),
        "error: aws: no credentials in the spec, the AWS_* environment, a profile, a web identity, ECS or instance \
         metadata: give the instance a role that allows ec2:DescribeInstances (received 404 from IMDS)"
    );
}

#[test]
fn no_region_anywhere() {
    let output = discover("provider=aws tag.a=b", 1, &[("AWS_EC2_METADATA_DISABLED", "true")]);
    let reason = "AWS_EC2_METADATA_DISABLED forbids to ask instance metadata)";
    assert_eq!(one_line(&output, 4), format!("{NO_REGION}{reason}"));
}

/// Plays an instance that gets its region and its role while the agent runs.
#[test]
fn a_region_and_a_role_that_come_late_are_found() {
    let ec2 = HttpDouble::start(|_, _| Reply::Answer(200, "", ONE.to_owned()));
    let imds = imds::start_late().url();
    let spec = format!("provider=aws tag.a=b endpoint={}", ec2.url());
    let output = discover(&spec, 3, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds)]);
    assert_eq!((output.code, output.addrs), (0, vec!["10.0.0.1:7946".to_owned()]));
    let [region, role] = output.complaints.as_slice() else { panic!("{:?}", output.complaints) };
    assert!(region.starts_with(NO_REGION), "{region}");
    assert!(role.starts_with("error: aws: no credentials in the spec,"), "{role}");
}

#[test]
fn credentials_that_cannot_be_had() {
    let (good, broken) = (scratch("good", "[profile a]\n"), scratch("broken", "garbage\n[profile x\n"));
    let assert_fails = |keys: &str, env: &[(&str, &str)], sentence: &str| {
        let spec = format!("provider=aws tag.a=b region=us-east-1 {keys}");
        let output = discover(&spec, 1, &[&[("AWS_EC2_METADATA_DISABLED", "true")], env].concat());
        let line = one_line(&output, 4);
        assert!(line.starts_with(&format!("error: aws: {sentence}")), "{line}");
    };
    let undefined = "profile `nope` was not defined: could not find source profile nope";
    let nothing = "no credentials in the spec, the AWS_* environment, a profile, a web identity, ECS or instance metadata: \
        give the instance a role that allows ec2:DescribeInstances (";
    assert_fails(
        "",
        &[("AWS_PROFILE", "nope"), ("AWS_CONFIG_FILE", &good)],
        &format!("{nothing}{undefined}"),
    );
    let named = "the profile `nope` gives no credentials: check the AWS configuration files (";
    assert_fails("profile=nope", &[("AWS_CONFIG_FILE", &good)], &format!("{named}{undefined}"));
    let unreadable =
        format!("the AWS configuration files cannot be parsed: error parsing {broken} on line 1");
    assert_fails("", &[("AWS_CONFIG_FILE", &broken)], &unreadable);
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")];
    assert_fails("", &web, "AWS_WEB_IDENTITY_TOKEN_FILE=/no/such cannot be read: No such file");
    let port = crate::daemon::free_port();
    let ecs = format!("http://127.0.0.1:{port}/x");
    let service = format!("the container's credential service at {ecs} gives no credentials (");
    assert_fails("", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &ecs)], &service);
}

#[test]
fn the_region_is_found_in_this_order() {
    let ec2 = HttpDouble::start(|request, _| {
        let signed = request.header("authorization").unwrap_or_default();
        let region = signed.split('/').nth(2).unwrap_or_default();
        let code = format!(
            "<Response><Errors><Error><Code>Seen</Code><Message>{region}</Message></Error></Errors></Response>"
        );
        Reply::Answer(400, "", code)
    });
    let ecs = HttpDouble::start(|request, _| match request.path.as_str() {
        "/v4/x/task" => {
            Reply::Answer(200, "", r#"{"TaskARN":"arn:aws:ecs:eu-north-1:1:task/c/t"}"#.to_owned())
        }
        _ => Reply::Answer(404, "", String::new()),
    });
    let (imds, ecs) = (imds::start(Role::Attached).url(), ecs.url() + "/v4/x");
    let profile = "region = ap-south-1\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x";
    let config = scratch("region", &format!("[profile there]\n{profile}\n"));
    let always = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.as_str()), ("AWS_CONFIG_FILE", config.as_str())];
    let seen = |keys: &str, env: &[(&str, &str)]| {
        let spec = format!("provider=aws tag.a=b endpoint={} {keys}", ec2.url());
        let output = discover(&spec, 1, &[&always, env].concat());
        let line = one_line(&output, 4).to_owned();
        line.split("Seen: ").nth(1).unwrap_or(&line).split(',').next().unwrap().to_owned()
    };
    let task = ("ECS_CONTAINER_METADATA_URI_V4", ecs.as_str());
    let (variable, old) = (("AWS_REGION", "us-west-2"), ("AWS_DEFAULT_REGION", "us-west-1"));
    let profile = ("AWS_PROFILE", "there");
    assert_eq!(seen("", &[]), "us-east-1", "instance metadata");
    assert_eq!(seen("", &[task]), "eu-north-1", "the ECS task");
    assert_eq!(seen("", &[task, profile]), "ap-south-1", "the profile");
    assert_eq!(seen("profile=there", &[task]), "ap-south-1", "the profile in the spec");
    assert_eq!(seen("", &[task, profile, old]), "us-west-1", "AWS_DEFAULT_REGION");
    assert_eq!(seen("", &[task, profile, old, variable]), "us-west-2", "AWS_REGION");
    assert_eq!(seen("region=eu-west-1", &[task, profile, old, variable]), "eu-west-1", "the spec");
}

#[test]
fn a_profile_in_the_spec_comes_before_keys_in_the_environment() {
    let ec2 = HttpDouble::start(|request, _| {
        let signed = request.header("authorization").unwrap_or_default();
        let known = if signed.contains("Credential=AKIAPROFILE/") { ONE } else { EMPTY };
        Reply::Answer(200, "", known.to_owned())
    });
    let process = r#"echo '{"Version":1,"AccessKeyId":"AKIAPROFILE","SecretAccessKey":"x"}'"#;
    let config = scratch("process", &format!("[profile there]\ncredential_process = {process}\n"));
    let env = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAENV"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let ask = |keys: &str| {
        discover(&format!("provider=aws tag.a=b region=a endpoint={} {keys}", ec2.url()), 1, &env)
    };
    let named = ask("profile=there");
    assert_eq!((named.code, named.complaints.len()), (0, 0), "{named:?}");
    assert_eq!(ask("").code, 2, "without it the environment is first");
    let missing = ask("profile=nope");
    assert!(one_line(&missing, 4).contains("`nope`"), "{missing:?}");
}

#[tokio::test]
async fn instance_metadata_behind_a_black_hole() {
    let hole = BlackHole::open().await;
    let env = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", hole.url.as_str())];
    let output = discover("provider=aws tag.a=b region=us-east-1", 1, &env);
    let hint = "; in a container the hop limit of instance metadata has to be 2)";
    assert!(one_line(&output, 4).ends_with(hint), "{output:?}");
    let output = discover("provider=aws tag.a=b", 1, &env);
    let line = one_line(&output, 4);
    assert!(line.starts_with(NO_REGION) && line.ends_with(hint), "{line}");
}

/// Plays the rotation of a file with a secret: the next poll after a refusal reads it anew.
#[tokio::test]
async fn a_refused_secret_is_read_anew() {
    let ec2 = HttpDouble::start(|request, _| {
        if request.header("x-amz-security-token") == Some("new") {
            return Reply::Answer(200, "", ONE.to_owned());
        }
        Reply::Answer(401, "", error_document("AuthFailure"))
    });
    let path = scratch("token", "old\n");
    let spec = format!("provider=aws tag.a=b endpoint={} {KEYS} session_token='file:{}'", ec2.url(), path);
    let provider = Spec::parse(&spec).unwrap().connect(7946).unwrap();
    assert_eq!(provider.discover().await.unwrap_err().kind, FailureKind::Rejected);
    std::fs::write(&path, "new\n").unwrap();
    assert_eq!(provider.discover().await.unwrap().addrs, ["10.0.0.1:7946".parse().unwrap()]);
}

#[test]
fn calls_are_rationed() {
    let cadence = Spec::parse("provider=aws tag.a=b").unwrap().connect(1).unwrap().cadence();
    let wanted =
        Cadence { floor: Duration::from_secs(15), settled: Duration::from_secs(300), rationed: true };
    assert_eq!(cadence, wanted);
}
