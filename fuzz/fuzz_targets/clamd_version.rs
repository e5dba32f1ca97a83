//! Fuzzes [`fuzz::clamd_version`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::clamd_version(data));
