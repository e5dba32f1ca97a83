//! Fuzzes [`fuzz::http_problem`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::http_problem(data));
