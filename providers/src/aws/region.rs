//! The region to ask if the spec names none: from the environment, the shared configuration, or the platform that runs the
//! agent (ECS, EC2).

use std::time::Duration;

use aws_config::{Region, imds};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    causes::chain,
    credentials::metadata_reason,
    failure::Failure,
    settings::{Settings, variable},
    spec::is_region,
};
use crate::discovery::FailureKind;

/// The variable in which ECS gives a task the address of its metadata.
const ECS_METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Time for the metadata of a task. A link-local service on the same host answers in milliseconds; the SDK gives instance
/// metadata as long.
const ECS_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest answer read, in bytes: far above the metadata of a task (a few KiB a container).
const ECS_ANSWER_LIMIT: u64 = 1 << 20;

/// Path of the region in instance metadata.
const METADATA_PATH: &str = "/latest/meta-data/placement/region";

/// Asks every place for the region, in this order. A value that is none names its place.
pub(crate) async fn find(settings: &Settings, metadata: &imds::Client) -> Result<Region, Failure> {
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(value) = variable(name) {
            return check(name, value);
        }
    }
    if let Some(value) = settings.value("region") {
        return check(&format!("region of the profile `{}`", settings.profile.as_str()), value.to_owned());
    }
    if let Some(region) = ask_ecs().await {
        return Ok(region);
    }
    let reason = match ask_metadata(metadata).await {
        Ok(region) => return Ok(region),
        Err(reason) => reason,
    };
    let reason = match &settings.profiles {
        Ok(_) => metadata_reason(&reason),
        Err(broken) => format!("the AWS configuration files cannot be parsed: {broken}"),
    };
    let sentence =
        "no region in the spec, AWS_REGION, a profile, ECS or instance metadata: add region=REGION";
    Err(Failure::new(FailureKind::Rejected, &format!("{sentence} ({reason})")))
}

fn check(place: &str, value: String) -> Result<Region, Failure> {
    if is_region(&value) {
        return Ok(Region::new(value));
    }
    let sentence = format!("{place} is {value:?}, which is no region: write one like us-east-1");
    Err(Failure::new(FailureKind::Rejected, &sentence))
}

async fn ask_metadata(metadata: &imds::Client) -> Result<Region, String> {
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err("AWS_EC2_METADATA_DISABLED forbids to ask instance metadata".to_owned());
    }
    let region = metadata.get(METADATA_PATH).await.map_err(|e| chain(&e))?;
    Ok(Region::new(String::from(region)))
}

/// The region of the ECS task that the agent runs in, if it does.
async fn ask_ecs() -> Option<Region> {
    let uri = variable(ECS_METADATA)?;
    match timeout(ECS_TIMEOUT, ask_task(&uri)).await {
        Ok(Ok(region)) => Some(region),
        Ok(Err(error)) => {
            tracing::warn!(uri, error, "the ECS task's metadata does not tell the region");
            None
        }
        Err(_) => {
            tracing::warn!(uri, "the ECS task's metadata does not answer");
            None
        }
    }
}

/// Asks the metadata of a task for the region, in HTTP/1.0, so that the end of the connection is the end of the answer.
async fn ask_task(uri: &str) -> Result<Region, String> {
    let uri: http::Uri = uri.parse().map_err(|e| format!("{ECS_METADATA} is no URL: {e}"))?;
    let authority = uri.authority().ok_or_else(|| format!("{ECS_METADATA} names no host"))?;
    let addr = (authority.host(), authority.port_u16().unwrap_or(80));
    let mut stream = TcpStream::connect(addr).await.map_err(|e| e.to_string())?;
    let request =
        format!("GET {}/task HTTP/1.0\r\nHost: {authority}\r\n\r\n", uri.path().trim_end_matches('/'));
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.take(ECS_ANSWER_LIMIT).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    region_of_task(&String::from_utf8_lossy(&answer))
}

/// Parses the region out of `{"TaskARN": "arn:aws:ecs:REGION:ACCOUNT:task/…"}`.
pub(super) fn region_of_task(answer: &str) -> Result<Region, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is no HTTP")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("HTTP {status}"));
    }
    let task: serde_json::Value =
        serde_json::from_str(body).map_err(|e| format!("the answer is no JSON: {e}"))?;
    let arn = task["TaskARN"].as_str().ok_or("the answer has no TaskARN")?;
    match arn.split(':').nth(3) {
        Some(region) if !region.is_empty() => Ok(Region::new(region.to_owned())),
        _ => Err(format!("the TaskARN {arn} has no region")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_names_its_region() {
        let ask = |answer: &str| region_of_task(answer).map(|region| region.to_string());
        let arn = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"TaskARN\":\"arn:aws:ecs:eu-north-1:1:task/c/t\"}";
        assert_eq!(ask(arn), Ok("eu-north-1".to_owned()));
        for (answer, error) in [
            ("", "the answer is no HTTP"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
            ("HTTP/1.1 200 OK\r\n\r\n{}", "the answer has no TaskARN"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"TaskARN\":\"arn:aws\"}", "the TaskARN arn:aws has no region"),
        ] {
            assert_eq!(ask(answer), Err(error.to_owned()));
        }
    }
}
