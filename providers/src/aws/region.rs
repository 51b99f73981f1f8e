//! The region to ask if the spec names none: from the environment, the shared configuration, or the platform that runs the
//! agent (ECS, EC2).

use std::time::Duration;

use aws_config::{
    Region,
    environment::EnvironmentVariableRegionProvider,
    imds::region::ImdsRegionProvider,
    meta::region::{ProvideRegion, RegionProviderChain, future},
    profile::ProfileFileRegionProvider,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The variable in which ECS gives a task the address of its metadata.
const ECS_METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Time for the metadata of a task. A link-local service on the same host answers in milliseconds; the SDK gives instance
/// metadata as long.
const ECS_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest answer read, in bytes: far above the metadata of a task (a few KiB a container).
const ECS_ANSWER_LIMIT: u64 = 1 << 20;

/// Asks every place for the region, in this order; `None` if no place knows.
pub(crate) async fn find(profile: Option<&str>) -> Option<Region> {
    let mut profile_file = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        profile_file = profile_file.profile_name(profile);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile_file.build())
        .or_else(EcsTask)
        .or_else(ImdsRegionProvider::builder().build())
        .region()
        .await
}

/// The ECS task that the agent runs in, if it does.
#[derive(Debug)]
struct EcsTask;

impl ProvideRegion for EcsTask {
    fn region(&self) -> future::ProvideRegion<'_> {
        future::ProvideRegion::new(async {
            let uri = ecs_metadata_uri()?;
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
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "set by ECS for every task; no setting of ours")]
fn ecs_metadata_uri() -> Option<String> {
    std::env::var(ECS_METADATA).ok()
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
