//! Fuzzes [`fuzz::conf_load`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::conf_load(data));
