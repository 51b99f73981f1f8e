//! See `chronik_agent::fuzzing::swim`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_agent::fuzzing::swim(data));
