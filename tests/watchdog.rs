//! An agent whose task stands still ends, so that its service manager starts it anew; and its vote is not lost by that.

use std::process::Command;

use crate::{
    awaiting::within,
    cluster::{addrs, start},
    running::{Ended, run},
};

#[test]
fn an_agent_that_hangs_on_its_disk_ends_and_founds_when_it_is_started_again() {
    let (addrs, seeds) = addrs(2);
    let flags = ["--join", &seeds, "--bootstrap-expect", "2"];
    let mut stuck = start("stuck", &addrs[0], &flags);
    // The thread that writes the next record waits for a reader of this pipe, and there is none.
    let pipe = stuck.dir.0.join("state/.node.json.chronik-agent");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let other = start("other", &addrs[1], &flags);
    assert_eq!(stuck.wait_for_end(), 1, "it runs on");
    let log = stuck.log();
    assert!(log.contains("the agent's task has stood still for 8 s"), "{log}");
    std::fs::remove_file(pipe).unwrap();
    stuck.restart();
    for agent in [&stuck, &other] {
        within(std::time::Duration::from_secs(30), || {
            let Ended { out: said, .. } = run(["bootstrap", &agent.at(), "--format", "json"]);
            if said.contains("\"bootstrap\"") { Ok(()) } else { Err(said) }
        });
    }
}
