//! See `chronik_core::fuzzing::rumour`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_core::fuzzing::rumour(data));
