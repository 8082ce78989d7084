//! Tests of objects that are damaged: cut, or with other bytes in them. Each ends with a report or an
//! error, and so does what it says of coverage.

use std::{fs, path::Path};

use skep_test::{RunOptions, Suite, coverage::Tally};
use skep_testing::{Outcome, Stop, ensure};

const SOURCE: &str = "#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(\".maps\");
static __attribute__((noinline)) int count(__u32 key)
{
	__u64 *value = bpf_map_lookup_elem(&hits, &key);
	if (!value)
		return 0;
	*value += 1;
	return 1;
}
SEC(\"xdp\") int fw(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (data + 14 > end)
		return XDP_ABORTED;
	for (int i = 0; i < 3; i++)
		if (count(i))
			return XDP_DROP;
	return XDP_PASS;
}
char _license[] SEC(\"license\") = \"GPL\";
";

const TESTS: &str = "
source = \"fw.bpf.o\"
[[test]]
name = \"drops\"
program = \"fw\"
packet = \"00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e\"
maps.hits = [{ key = 1, value = 1 }]
expect.return = \"XDP_DROP\"
expect.maps.hits = [{ key = 1, value = 2 }]
";

/// The same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % end.max(1)
    }
}

fn damaged(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    if random.below(4) == 0 {
        bytes.truncate(random.below(good.len()));
        return bytes;
    }
    for _ in 0..[1, 2, 8, 64][random.below(4)] {
        let at = random.below(bytes.len());
        bytes[at] = random.below(256).to_le_bytes()[0];
    }
    bytes
}

/// Runs the tests of the object in `folder`: whether they passed, or why they could not be run.
fn tests_of(folder: &Path) -> Result<bool, String> {
    let suite = Suite::parse(folder.join("fw.test.toml"), TESTS).map_err(|it| it.to_string())?;
    let mut options = RunOptions::default();
    options.coverage = true;
    options.threads = Some(1);
    let mut report = suite.run(&options);
    let tally = report.coverage.take().unwrap_or_default();
    let coverage = tally.report();
    // All of it can be written, whatever the object says of its source.
    let texts = [
        coverage.lcov(),
        coverage.annotated(),
        coverage.uncovered(),
        report.to_string(),
    ];
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    assert!(
        texts[..3].iter().all(|text| text.chars().all(plain)),
        "{texts:?}"
    );
    Ok(report.passed())
}

#[test]
fn every_one_ends() {
    match all() {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => skep_testing::lacks(lacking),
        Err(Stop::Fail(why)) => panic!("{why}"),
    }
}

fn all() -> Outcome {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let source = folder.join("fw.bpf.c");
    fs::write(&source, SOURCE)?;
    let good = skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))?;
    let object = folder.join("fw.bpf.o");
    fs::write(&object, &good)?;
    ensure(tests_of(folder) == Ok(true), || {
        "the whole object fails".into()
    })?;
    let mut random = Random(0x5eed_c0de_0001);
    let (mut passed, mut failed, mut refused) = (0, 0, 0);
    for _ in 0..150 {
        fs::write(&object, damaged(&good, &mut random))?;
        match tests_of(folder) {
            Ok(true) => passed += 1,
            Ok(false) => failed += 1,
            Err(why) => {
                ensure(!why.is_empty(), || "an error that says nothing".into())?;
                refused += 1;
            }
        }
    }
    // All three happen, or the damage is not what it should be.
    ensure(passed > 0 && failed > 0 && refused > 0, || {
        format!("{passed} passed, {failed} failed, {refused} refused")
    })
}

#[test]
fn an_empty_tally_is_an_empty_report() {
    let report = Tally::default().report();
    assert_eq!(
        (report.lcov(), report.uncovered(), report.to_string()),
        Default::default()
    );
}
