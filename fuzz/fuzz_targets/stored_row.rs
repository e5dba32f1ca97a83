//! Fuzzes [`fuzz::stored_row`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::stored_row(data));
