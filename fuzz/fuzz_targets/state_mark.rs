//! Fuzzes [`fuzz::state_mark`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::state_mark(data));
