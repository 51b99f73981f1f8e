//! See `chronik_core::fuzzing::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_core::fuzzing::envelope(data));
