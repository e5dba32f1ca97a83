//! Fuzzes [`fuzz::ingest_answer`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ingest_answer(data));
