//! Doubles of all places of credentials, a home for files, and boto3, which is asked in the same environment.

use std::{fs, process::Command};

use crate::{
    aws::ONE,
    aws_faults::error_document,
    command::{Output, discover},
    http_double::{HttpDouble, Reply, Request},
    imds::{self, Role},
    moto::program,
};

/// Asks EC2 as the AWS command line does; prints who signed and for which region, as the double answers.
const BOTO: &str = "import boto3\nc = boto3.client('ec2')\nprint([i['PrivateIpAddress'] for r in \
    c.describe_instances()['Reservations'] for i in r['Instances']])";

/// Everything that credentials come from, and a home for files.
pub(super) struct World {
    pub(super) home: String,
    ec2: HttpDouble,
    sts: HttpDouble,
    imds: HttpDouble,
    pub(super) container: HttpDouble,
}

/// The last signer that EC2 has seen, and the region.
pub(super) fn signer(request: &Request) -> String {
    let signed = request.header("authorization").unwrap_or_default();
    let scope: Vec<_> = signed.split("Credential=").nth(1).unwrap_or_default().split('/').collect();
    format!("{} {}", scope.first().unwrap_or(&""), scope.get(2).unwrap_or(&""))
}

/// The answer of STS, whatever is asked.
pub(super) fn sts(request: &Request) -> Reply {
    let kind = if request.body.contains("WebIdentity") { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
    let credentials = "<Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
        <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>";
    let body = format!("<{kind}Response><{kind}Result>{credentials}</{kind}Result></{kind}Response>");
    Reply::Answer(200, "", body)
}

impl World {
    /// Starts the doubles, and makes an empty home.
    pub(super) fn new(name: &str) -> Self {
        let home = format!("{}/home-{name}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        fs::create_dir_all(format!("{home}/.aws")).unwrap();
        fs::write(format!("{home}/token"), "a.web.token").unwrap();
        // The addresses tell who signed: the provider's output shows it, and boto3's.
        let ec2 = HttpDouble::start(|request, _| {
            let last = match signer(request).as_str() {
                "AKIAENV eu-west-3" => "1",
                "AKIAFILE eu-north-1" => "2",
                "AKIATWO eu-north-1" => "3",
                "ASIASTS us-east-1" => "4",
                "ASIACONT us-east-1" => "5",
                "ASIAROLE us-east-1" => "6",
                "AKIAPROC us-east-1" => "7",
                "AKIAENV eu-north-1" => "8",
                other => return Reply::Answer(400, "", error_document(&other.replace(' ', "-"))),
            };
            Reply::Answer(200, "", ONE.replace("10.0.0.1", &format!("10.0.0.{last}")))
        });
        let container = HttpDouble::start(|request, _| {
            match request.header("authorization") {
            Some("token") => Reply::Answer(
                200,
                "",
                r#"{"AccessKeyId":"ASIACONT","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#.to_owned(),
            ),
            _ => Reply::Answer(401, "", "{}".to_owned()),
        }
        });
        Self {
            home,
            ec2,
            sts: HttpDouble::start(|request, _| sts(request)),
            imds: imds::start(Role::Attached),
            container,
        }
    }

    /// Writes a file of the shared configuration.
    pub(super) fn file(&self, name: &str, text: &str) {
        fs::write(format!("{}/.aws/{name}", self.home), text).unwrap();
    }

    /// The environment of a row: `$STS`, `$IMDS`, `$CONTAINER`, `$HOME` stand for what is there.
    pub(super) fn environment(&self, row: &[(&str, &str)]) -> Vec<(String, String)> {
        let fill = |value: &str| {
            value
                .replace("$STS", &self.sts.url())
                .replace("$IMDS", &self.imds.url())
                .replace("$CONTAINER", &self.container.url())
                .replace("$HOME", &self.home)
        };
        let always = [
            ("HOME", "$HOME"),
            ("PATH", "/usr/bin:/bin"),
            ("AWS_ENDPOINT_URL_STS", "$STS"),
            ("AWS_MAX_ATTEMPTS", "1"),
        ];
        let quiet = [("AWS_EC2_METADATA_DISABLED", "true")];
        let has_metadata = row.iter().any(|(name, _)| name.starts_with("AWS_EC2_METADATA"));
        let quiet = if has_metadata { &[][..] } else { &quiet[..] };
        [&always[..], quiet, row]
            .concat()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), fill(value)))
            .collect()
    }

    /// Asks by boto3; gives what it prints, or the last line of its complaint.
    pub(super) fn boto(&self, row: &[(&str, &str)]) -> String {
        let output = Command::new(program("python"))
            .args(["-c", BOTO])
            .env_clear()
            .envs(self.environment(row))
            .env("AWS_ENDPOINT_URL_EC2", self.ec2.url())
            .output()
            .unwrap();
        let lines = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).trim().lines().last().unwrap_or_default().to_owned()
        };
        let printed = lines(&output.stdout);
        if printed.is_empty() { lines(&output.stderr) } else { printed }
    }

    /// Polls with these keys in the spec.
    pub(super) fn ask(&self, keys: &str, row: &[(&str, &str)]) -> Output {
        let environment = self.environment(row);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        discover(&format!("provider=aws tag.a=b endpoint={} {keys}", self.ec2.url()), 1, &environment)
    }
}
