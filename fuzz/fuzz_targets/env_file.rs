//! Fuzzes [`fuzz::env_file`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::env_file(data));
