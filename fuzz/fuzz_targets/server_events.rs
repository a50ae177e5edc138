//! [`zebu_fuzz::server_events`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::server_events(data));
