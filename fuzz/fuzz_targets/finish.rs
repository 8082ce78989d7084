//! The target of this name in `skep_fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| skep_fuzz::run("finish", input));
