//! Fuzzes [`fuzz::start_tls`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::start_tls(data));
