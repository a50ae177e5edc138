//! [`zebu_fuzz::log_file`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::log_file(data));
