//! `skep run --coverage`.

use std::fs;

use super::{folder, has_clang, run};

const SOURCE: &str = "#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC(\"license\") = \"GPL\";
int total = 0;
SEC(\"syscall\") int once(void *ctx)
{
	if (bpf_get_smp_processor_id() > 100000) {
		bpf_get_current_task();
		return 1;
	}
	for (int i = 0; i < 5000; i++)
		bpf_get_smp_processor_id();
	total += 1;
	return 0;
}
";

#[test]
fn of_a_run_in_the_vm() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("once.bpf.c"), SOURCE).unwrap();
    let ran = run(path, ["run", "--coverage", "c.lcov", "once.bpf.c"]).ended_with(0);
    let ran = ran.saying(&[
        "host: vm (--coverage)",
        "\n  8 -|         bpf_get_current_task();\n",
        "7  |     if (bpf_get_smp_processor_id() > 100000) {\n     |         ^ never went to line 8\n",
        " lines, 3 of 4 branches · c.lcov\n",
    ]);
    assert!(!ran.stderr.contains("once.bpf.c:10"), "{}", ran.stderr);
    let trace = fs::read_to_string(path.join("c.lcov")).unwrap();
    for row in [
        "FNDA:1,once\n",
        "DA:8,0\n",
        "DA:12,5000\n",
        "DA:13,1\n",
        "BRDA:7,0,0,0\n",
    ] {
        assert!(trace.contains(row), "no {row:?} in:\n{trace}");
    }
    // The whole source with counts.
    run(
        path,
        [
            "-v",
            "run",
            "--host",
            "vm",
            "--coverage",
            "c.lcov",
            "once.bpf.c",
        ],
    )
    .ended_with(0)
    .saying(&[
        "\n    5000 | 12 |         bpf_get_smp_processor_id();\n",
        "\n         |  1 | #include <linux/bpf.h>\n",
    ]);
}

#[test]
fn what_can_not_be() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("once.bpf.c"), SOURCE).unwrap();
    run(
        path,
        [
            "run",
            "--host",
            "kernel",
            "--coverage",
            "c.lcov",
            "once.bpf.c",
        ],
    )
    .ended_with(2)
    .saying(&["--coverage is for the virtual machine"]);
    run(
        path,
        ["run", "--coverage", "no/such/folder.lcov", "once.bpf.c"],
    )
    .ended_with(1)
    .saying(&["cannot write no/such/folder.lcov"]);
}
