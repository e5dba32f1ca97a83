//! Fuzzes [`fuzz::http_redirect`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::http_redirect(data));
