//! What a user reads who writes a network whose sizes do not fit, word for word, and what a proved network may hold.
//!
//! The expected texts are those of the compiler in rust-toolchain.toml. After a change of words:
//! `TRYBUILD=overwrite cargo test -p lenslet --test compile_fail`, then read the difference.

#[test]
fn networks() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_pass/*.rs");
    cases.compile_fail("tests/compile_fail/*.rs");
}
