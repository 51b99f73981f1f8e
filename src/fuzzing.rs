//! The fuzz target of the shell: the state directory's records. Built for fuzzing and for tests alone; the core has the
//! others.

#[cfg(test)]
#[path = "../fuzz/replay.rs"]
mod replay;

/// Records of the state directory, with the checksum they have and with the right one.
pub fn record(data: &[u8]) {
    crate::state_dir::fuzzing::record(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_is_read_or_refused() {
        replay::replay("record", record);
    }
}
