//! Fuzzes [`fuzz::file_record`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::file_record(data));
