//! Fuzzes [`fuzz::content_hashes`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::content_hashes(data));
