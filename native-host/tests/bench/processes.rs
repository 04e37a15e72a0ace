//! What the system tells of processes.

use std::fs;

use rustix::process::{Pid, test_kill_process};

/// The processes that a process has started.
pub fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let children = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    let children = children.flatten().collect::<Vec<_>>().join(" ");
    children.split_whitespace().flat_map(str::parse).collect()
}

/// Whether a process does anything yet; one that nobody has waited for does not.
pub fn is_there(process: Pid) -> bool {
    let status = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap_or_default();
    test_kill_process(process).is_ok() && !status.contains("State:\tZ")
}
