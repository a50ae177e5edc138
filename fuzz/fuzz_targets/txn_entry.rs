//! [`zebu_fuzz::txn_entry`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| zebu_fuzz::txn_entry(data));
