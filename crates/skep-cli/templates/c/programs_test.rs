//! The kernel side's tests, `bpf/{{name}}.test.toml`, in a virtual machine: no privileges needed.

#[test]
fn programs_do_what_they_should() {
    skep_test::assert_passes("bpf/{{name}}.test.toml");
}
