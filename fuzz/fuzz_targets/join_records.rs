//! Fuzzes [`fuzz::join_records`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::join_records(data));
