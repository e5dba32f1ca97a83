//! Fuzzes [`fuzz::dir_entries`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::dir_entries(data));
