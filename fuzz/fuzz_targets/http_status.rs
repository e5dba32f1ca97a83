//! Fuzzes [`fuzz::http_status`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::http_status(data));
