//! The resident memory of a process, as the kernel counts it.

use std::fs;

/// Resident memory now, in kB.
pub(crate) fn resident_kb(pid: u32) -> u64 {
    status_kb(pid, "VmRSS:")
}

/// Peak of resident memory, in kB.
pub(crate) fn peak_kb(pid: u32) -> u64 {
    status_kb(pid, "VmHWM:")
}

fn status_kb(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
