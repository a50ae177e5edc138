//! [`zebu_fuzz::client_session`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::client_session(data));
