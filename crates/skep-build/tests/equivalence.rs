//! The strongest check that sources written for libbpf mean the same with our headers: the same
//! instructions, relocations and CO-RE relocations as with libbpf's own. Needs libbpf-dev.

mod common;

use std::{os::unix::fs::symlink, path::Path};

use common::*;

/// Compiles by both and compares. `usdt.bpf.h` is left out: it has functions, not only macros, and
/// ours are other functions.
#[test]
fn same_instructions_as_with_libbpf() {
    if !Path::new("/usr/include/bpf/bpf_helpers.h").exists() {
        skep_testing::lacks("/usr/include/bpf (libbpf-dev)");
        return;
    }
    if !has_kernel_types() || !has_uapi_headers() {
        return;
    }
    let theirs = tempfile::tempdir().unwrap();
    symlink("/usr/include/bpf", theirs.path().join("bpf")).unwrap();
    let macros = [
        "core_read",
        "endian",
        "printing",
        "printing_local",
        "tracing",
    ];
    let macros = macros.map(|name| here(&format!("macros/{name}.c")));
    for clang in clangs() {
        let mut compared = 0;
        for source in sources("programs").iter().chain(&macros) {
            let build = strict(source, &clang)
                .define("LIBBPF")
                .argument("-Wno-error");
            let ours = build.clone().cached().unwrap().object;
            let theirs = build.include(theirs.path()).cached();
            let theirs = theirs
                .unwrap_or_else(|error| panic!("{}: {error}", source.display()))
                .object;
            let what = format!("clang {} {}", clang.version(), source.display());
            let (a, b) = (code(&ours), code(&theirs));
            assert_eq!(a.len(), b.len(), "{what}: sections");
            for (a, b) in a.iter().zip(&b) {
                assert_eq!(a.section, b.section, "{what}");
                let mut pairs = a.bytes.chunks(8).zip(b.bytes.chunks(8)).enumerate();
                if let Some((at, (ours, theirs))) = pairs.find(|(_, (ours, theirs))| ours != theirs)
                {
                    panic!(
                        "{what} {} insn {at}: ours {ours:02x?}, theirs {theirs:02x?}",
                        a.section
                    );
                }
                assert_eq!(a, b, "{what}");
            }
            assert_eq!(core_relocations(&ours), core_relocations(&theirs), "{what}");
            compared += a.iter().map(|code| code.bytes.len() / 8).sum::<usize>();
        }
        assert!(
            compared > 1500,
            "{compared} instructions are too few to be a check"
        );
    }
}
