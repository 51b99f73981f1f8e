//! Parses, logs, dispatches, and alone picks exit codes.

fn main() {}
