//! Fuzzes [`fuzz::conf_yaml`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::conf_yaml(data));
