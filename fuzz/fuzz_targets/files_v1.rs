//! Fuzzes [`fuzz::files_v1`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::files_v1(data));
