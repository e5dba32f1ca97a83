//! Fuzzes [`fuzz::clamd_replies`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::clamd_replies(data));
