//! See `chronik_agent::fuzzing::metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_agent::fuzzing::metadata(data));
