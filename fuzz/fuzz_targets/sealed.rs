//! See `chronik_core::fuzzing::sealed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_core::fuzzing::sealed(data));
