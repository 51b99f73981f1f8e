//! See `chronik_providers::fuzzing::dns`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_providers::fuzzing::dns(data));
