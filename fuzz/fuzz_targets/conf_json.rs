//! Fuzzes [`fuzz::conf_json`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::conf_json(data));
