//! Fuzzes [`fuzz::ignore_file`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ignore_file(data));
