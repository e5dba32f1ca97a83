//! Fuzzes [`fuzz::net_probe`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::net_probe(data));
