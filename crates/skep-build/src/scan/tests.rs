//! Sources and what the scan says of them.

use super::*;

/// What the scan says of `files`, the first being the source, with `inc` as include folder.
fn check(files: &[(&str, &str)], expected: impl FnOnce(&Path) -> Vmlinux) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let source = folder.path().join(files[0].0);
    let found = vmlinux(&source, &[folder.path().join("inc")]).unwrap();
    assert_eq!(found, expected(folder.path()), "{files:?}");
}

#[test]
fn wanted_only_if_included() {
    check(&[("a.c", "#include <linux/bpf.h>\n")], |_| Vmlinux::Unused);
    check(
        &[(
            "a.c",
            "/*\n#include \"vmlinux.h\"\n*/\n// #include \"vmlinux.h\"\n",
        )],
        |_| Vmlinux::Unused,
    );
    check(
        &[("a.c", "char s[] = \"/*\";\n#include \"vmlinux.h\"\n")],
        |_| Vmlinux::Wanted { first: false },
    );
}

#[test]
fn first_if_only_comments_stand_before() {
    let leading = "// SPDX\n/* two\n lines */\n\n  #  include <vmlinux.h>\n#define A 1\n";
    check(&[("a.c", leading)], |_| Vmlinux::Wanted { first: true });
    check(&[("a.c", "#define A 1\n#include \"vmlinux.h\"\n")], |_| {
        Vmlinux::Wanted { first: false }
    });
}

#[test]
fn found_through_other_headers() {
    let b = ("inc/b.h", "#include \"../c.h\"\n");
    let c = (
        "c.h",
        "#pragma once\n#include \"inc/b.h\"\n#include \"vmlinux.h\"\n",
    );
    check(&[("a.c", "#include <b.h>\n"), b, c], |_| Vmlinux::Wanted {
        first: false,
    });
}

#[test]
fn given_beside_the_source_or_on_the_path() {
    let a = ("a.c", "#include <vmlinux.h>\n");
    check(&[a, ("vmlinux.h", "")], |folder| {
        Vmlinux::Given(folder.to_owned())
    });
    check(&[a, ("inc/vmlinux.h", "")], |folder| {
        Vmlinux::Given(folder.join("inc"))
    });
}

#[test]
fn tested_for() {
    check(
        &[("a.c", "#if __has_include(\"vmlinux.h\")\n#endif\n")],
        |_| Vmlinux::Wanted { first: false },
    );
}
