//! Fuzzes [`fuzz::document_answer`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::document_answer(data));
