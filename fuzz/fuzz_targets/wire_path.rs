//! Fuzzes [`fuzz::wire_path`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::wire_path(data));
