//! Numbers that scripts of fixtures and tests both know, so that networks of many weights need no large files.

/// `formula` of `fixtures/make_fixtures.py`: numbers from -1 to 1 without end, the same to the bit.
pub(crate) fn formula(salt: u64) -> impl Iterator<Item = f32> {
    let number = move |position: u64| {
        let bits = (position + salt * 1_000_003) * 2_654_435_761 % (1 << 32);
        let bits = ((bits ^ (bits >> 15)) * 2_246_822_519 % (1 << 32)) >> 8;
        bits as f32 / (1 << 23) as f32 - 1.0
    };
    (0..).map(number)
}
