//! See `chronik_core::fuzzing::swim`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_core::fuzzing::swim(data));
