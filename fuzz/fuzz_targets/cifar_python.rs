#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lenslet_data::fuzz::cifar_python(bytes);
});
