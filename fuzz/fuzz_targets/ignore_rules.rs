//! Fuzzes [`fuzz::ignore_rules`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ignore_rules(data));
