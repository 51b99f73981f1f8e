//! See `chronik_agent::fuzzing::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_agent::fuzzing::envelope(data));
