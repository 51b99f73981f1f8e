//! See `chronik_agent::fuzzing::rumour`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_agent::fuzzing::rumour(data));
