//! Files of tests.

use skep_test::Suite;

/// Files with all that needs no program: packets and what is expected of them, steps, cases.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let files: [&str; 5] = [
        include_str!("../../../skep-test/tests/passing/kinds.test.toml"),
        include_str!("../../../skep-test/tests/failing/differs.test.toml"),
        include_str!("../../../skep-test/tests/mistakes/mistakes.txt"),
        include_str!("../../../../examples/opensnoop.test.toml"),
        include_str!("../../../../examples/xdp_count.test.toml"),
    ];
    files.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Input: a test file's text.
pub(crate) fn files(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Suite::check("fuzzed.test.toml", &text) {
        Ok(names) => {
            // No two tests are taken for one another.
            let mut sorted = names.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len());
        }
        Err(error) => super::readable(&error),
    }
}
