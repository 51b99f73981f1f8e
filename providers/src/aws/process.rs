//! `credential_process`: a command that prints credentials. It has its time and ends with it, together with whatever it has
//! started.

use std::{process::Stdio, time::Duration};

use aws_sdk_ec2::{
    config::Credentials,
    primitives::{DateTime, DateTimeFormat},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

/// Time for the command. It leaves a poll of 15 s enough for EC2.
const TIME: Duration = Duration::from_secs(8);

/// Bytes read of the command's output: credentials have a few thousand at most.
const MAX_OUTPUT: u64 = 64 * 1024;

/// A process that is killed when it is dropped, with all others of its group.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has been waited for has no id any more: its group may be another's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process_group(id, Signal::KILL)
        {
            tracing::warn!(%error, "a credential_process cannot be killed");
        }
    }
}

/// Runs the command and reads its credentials.
///
/// # Errors
/// A sentence about the command, which it follows. What the command printed is not in it: that may be secret.
pub(crate) async fn run(command: &str) -> Result<Credentials, String> {
    run_within(command, TIME).await
}

async fn run_within(command: &str, time: Duration) -> Result<Credentials, String> {
    let child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // In a group of its own, so that its children can be found.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot be started: {e}"))?;
    let mut group = Group(child);
    let output = group.0.stdout.take();
    let outcome = timeout(time, async {
        let output = read(output).await.map_err(|e| format!("cannot be read: {e}"))?;
        let status = group.0.wait().await.map_err(|e| format!("cannot be waited for: {e}"))?;
        if status.success() {
            parse(&output)
        } else {
            Err(format!("failed ({status}); run it by hand to see why: what it prints may be secret"))
        }
    });
    outcome.await.unwrap_or_else(|_| Err(format!("printed no credentials within {time:?} and was killed")))
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(output) = output {
        output.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Parses `{"Version": 1, "AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …, "Expiration": …}`.
fn parse(output: &[u8]) -> Result<Credentials, String> {
    let printed: serde_json::Value = serde_json::from_slice(output)
        .map_err(|e| format!("prints no JSON: line {}, column {}", e.line(), e.column()))?;
    if printed["Version"] != 1 {
        return Err("prints no `\"Version\": 1`".to_owned());
    }
    let text = |key: &str| printed[key].as_str().filter(|text| !text.is_empty());
    let need = |key: &str| text(key).ok_or_else(|| format!("prints no `{key}`"));
    let expiry = match text("Expiration") {
        Some(text) => {
            let time = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset);
            let time = time.ok().and_then(|time| std::time::SystemTime::try_from(time).ok());
            Some(time.ok_or("prints an `Expiration` that is no time")?)
        }
        None => None,
    };
    let token = text("SessionToken").map(str::to_owned);
    Ok(Credentials::new(need("AccessKeyId")?, need("SecretAccessKey")?, token, expiry, "credential_process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    async fn error(command: &str) -> String {
        run_within(command, LONG).await.unwrap_err()
    }

    #[tokio::test]
    async fn credentials_are_read() {
        let printed = r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c","Expiration":"2030-01-02T03:04:05Z"}"#;
        let credentials = run_within(&format!("echo '{printed}'"), LONG).await.unwrap();
        assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("a", "b"));
        assert_eq!(credentials.session_token(), Some("c"));
        let expiry = credentials.expiry().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(expiry.as_secs(), 1_893_553_445);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_what_is_secret_is_not() {
        let secret = "wJalrXUtnFEMI";
        for (command, sentence) in [
            (format!("echo {secret} >&2; exit 3"), "failed (exit status: 3)"),
            (format!("echo {secret}"), "prints no JSON: line 1, column 1"),
            ("echo '{}'".to_owned(), "prints no `\"Version\": 1`"),
            (format!("echo '{{\"Version\":1,\"SecretAccessKey\":\"{secret}\"}}'"), "prints no `AccessKeyId`"),
            (
                "echo '{\"Version\":1,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\",\"Expiration\":\"x\"}'"
                    .to_owned(),
                "prints an `Expiration` that is no time",
            ),
            ("yes".to_owned(), "failed ("),
        ] {
            let error = error(&command).await;
            assert!(error.starts_with(sentence) && !error.contains(secret), "{command}: {error}");
        }
    }

    /// Processes that have this in their command line.
    fn processes(mark: &str) -> usize {
        let entries = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
    }

    /// Waits until none of them is left: a killed process goes when its parent looks.
    async fn none_is_left(mark: &str) {
        let gone = async {
            while processes(mark) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, gone).await.unwrap_or_else(|_| panic!("{} are left", processes(mark)));
    }

    #[tokio::test]
    async fn a_command_that_hangs_ends_with_its_children() {
        let mark = format!("86{}", std::process::id());
        let command = format!("sleep {mark} & sleep {mark}; true");
        let error = run_within(&command, Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(error, "printed no credentials within 200ms and was killed");
        none_is_left(&mark).await;
    }

    #[tokio::test]
    async fn a_command_whose_poll_is_given_up_ends_with_its_children() {
        let mark = format!("87{}", std::process::id());
        let command = format!("sleep {mark} & sleep {mark}; true");
        let run = run_within(&command, LONG);
        assert!(timeout(Duration::from_millis(200), run).await.is_err());
        none_is_left(&mark).await;
    }
}
