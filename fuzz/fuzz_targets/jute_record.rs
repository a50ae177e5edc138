//! [`zebu_fuzz::jute_record`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::jute_record(data));
