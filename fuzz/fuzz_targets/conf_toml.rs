//! Fuzzes [`fuzz::conf_toml`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::conf_toml(data));
