//! The kernel side's tests, `{{name}}-ebpf/{{name}}.test.toml`, in a virtual machine: no privileges
//! needed.

#[test]
fn programs_do_what_they_should() {
    skep_test::assert_passes("../{{name}}-ebpf/{{name}}.test.toml");
}
