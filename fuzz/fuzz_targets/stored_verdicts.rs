//! Fuzzes [`fuzz::stored_verdicts`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::stored_verdicts(data));
