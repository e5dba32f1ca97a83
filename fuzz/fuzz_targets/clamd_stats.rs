//! Fuzzes [`fuzz::clamd_stats`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::clamd_stats(data));
