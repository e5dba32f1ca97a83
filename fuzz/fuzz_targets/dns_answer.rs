//! Fuzzes [`fuzz::dns_answer`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::dns_answer(data));
