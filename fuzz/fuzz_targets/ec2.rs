//! See `chronik_providers::fuzzing::ec2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chronik_providers::fuzzing::ec2(data));
