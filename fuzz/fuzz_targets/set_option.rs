//! Fuzzes [`fuzz::set_option`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::set_option(data));
