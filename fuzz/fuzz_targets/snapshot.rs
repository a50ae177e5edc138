//! [`zebu_fuzz::snapshot`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::snapshot(data));
