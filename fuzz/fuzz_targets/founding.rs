//! See `chronik_agent::fuzzing::founding`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_agent::fuzzing::founding(data));
