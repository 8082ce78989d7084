//! The tables against what others say: clang's offsets, libbpf's helper declarations and the
//! machine's own uapi header. Each test says what it lacked when it could not run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skep_abi::{
    AttachFlags, AttachType, Capability, FibLookupFlags, Helper, KernelEnum, KernelVersion,
    LinkType, MapCreateFlags, MapType, MapUpdateFlags, ProgLoadFlags, ProgramType, RingbufFlags,
    StructLayout, XdpAction, constants,
};

/// Include folders with a linux/bpf.h: what `cargo xtask generate` fetched, and the machine's.
fn include_folders() -> Vec<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/xtask/uapi/usr/include");
    [fetched, PathBuf::from("/usr/include")]
        .into_iter()
        .filter(|folder| folder.join("linux/bpf.h").is_file())
        .collect()
}

/// `7.3.4` from linux/version.h of an include folder.
fn release(include: &Path) -> Option<String> {
    let text = fs::read_to_string(include.join("linux/version.h")).ok()?;
    let part = |name: &str| {
        let at = text.lines().find_map(|line| {
            line.strip_prefix("#define LINUX_VERSION_")?
                .strip_prefix(name)
        });
        at.map(str::trim)
    };
    Some(format!(
        "{}.{}.{}",
        part("MAJOR")?,
        part("PATCHLEVEL")?,
        part("SUBLEVEL")?
    ))
}

#[test]
fn clang_lays_structures_out_the_same() {
    let wanted = constants::UAPI_RELEASE;
    let Some(include) = include_folders()
        .into_iter()
        .find(|folder| release(folder).as_deref() == Some(wanted))
    else {
        skep_testing::lacks(format_args!(
            "uapi headers of Linux {wanted} (cargo xtask generate --check)"
        ));
        return;
    };
    if !cfg!(target_pointer_width = "64") {
        skep_testing::lacks("a 64-bit machine, whose the tables are");
        return;
    }
    let mut source = String::from("#include <stddef.h>\n#include <linux/bpf.h>\n");
    for layout in StructLayout::all() {
        let keyword = if layout.is_union { "union" } else { "struct" };
        let name = format!("{keyword} {}", layout.name);
        source += &format!(
            "_Static_assert(sizeof({name}) == {}, \"size of {name}\");\n",
            layout.size
        );
        source += &format!(
            "_Static_assert(_Alignof({name}) == {}, \"align of {name}\");\n",
            layout.align
        );
        for field in layout.fields.iter().filter(|field| field.bits.is_none()) {
            source += &format!(
                "_Static_assert(offsetof({name}, {}) == {}, \"{name}.{}\");\n",
                field.name, field.offset, field.name
            );
            if field.count > 0 {
                source += &format!(
                    "_Static_assert(sizeof((({name} *)0)->{}) == {}, \"size of {name}.{}\");\n",
                    field.name,
                    field.byte_len(),
                    field.name
                );
            }
        }
    }
    let mut clang = Command::new("clang");
    // The kernel wrote the header for its own flavour of C: anonymous unions and empty arrays.
    clang
        .args(["-x", "c", "-std=gnu11", "-w", "-fsyntax-only", "-isystem"])
        .arg(&include)
        .arg("-");
    let run = clang.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = run else {
        skep_testing::lacks("clang");
        return;
    };
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, source.as_bytes()).expect("clang reads");
    drop(input);
    let output = child.wait_with_output().expect("clang ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Helpers whose C prototype changed since the libbpf that distributions have: wider sizes of
/// dynptrs (6.19), another parameter name (6.12).
const CHANGED: [&str; 5] = [
    "bpf_dynptr_from_mem",
    "bpf_dynptr_read",
    "bpf_dynptr_write",
    "bpf_dynptr_data",
    "bpf_kptr_xchg",
];

#[test]
fn libbpf_declares_helpers_the_same() {
    let path = "/usr/include/bpf/bpf_helper_defs.h";
    let Ok(text) = fs::read_to_string(path) else {
        skep_testing::lacks(format_args!("{path} (libbpf-dev)"));
        return;
    };
    // Constness was added to parameters and to the pointers over time, and attributes to functions.
    let plain = |text: &str| {
        text.replace("(* const ", "(*")
            .replace("const ", "")
            .replace("__bpf_fastcall ", "")
    };
    let mut compared = 0;
    for line in text
        .lines()
        .map(plain)
        .filter(|line| line.contains("(*bpf_"))
    {
        let name = line
            .split_once("(*")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(name, _)| name)
            .expect("a declaration has a name");
        let helper = Helper::by_name(name).unwrap_or_else(|| panic!("{name} is missing"));
        if !CHANGED.contains(&name) {
            assert_eq!(plain(&helper.c_declaration().to_string()), line);
        }
        compared += 1;
    }
    assert!(compared > 200, "{path} has only {compared} helpers");
}

/// What the installed header must have, by the tables. The other way round is not tested: stable
/// releases take over single flags of later kernels.
#[test]
fn installed_headers_have_what_their_version_says() {
    for include in include_folders() {
        let release = release(&include).expect("version.h beside bpf.h");
        let version: KernelVersion = release.parse().expect("a version");
        let mut text = String::new();
        for name in ["bpf.h", "if_link.h", "capability.h"] {
            text += &fs::read_to_string(include.join("linux").join(name)).expect(name);
        }
        let words: BTreeSet<&str> = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        let check = |name: &str, since: KernelVersion| {
            assert!(
                since > version || words.contains(name),
                "{name} since {since} is not in the header of {release}"
            );
        };
        fn each<T: KernelEnum>(check: impl Fn(&str, KernelVersion)) {
            T::ALL
                .iter()
                .for_each(|item| check(item.name(), item.since()));
        }
        each::<skep_abi::Command>(check);
        each::<MapType>(check);
        each::<ProgramType>(check);
        each::<AttachType>(check);
        each::<LinkType>(check);
        each::<XdpAction>(check);
        each::<Capability>(check);
        for helper in Helper::all() {
            check(helper.name, helper.since);
        }
        MapCreateFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
        MapUpdateFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
        ProgLoadFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
        AttachFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
        RingbufFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
        FibLookupFlags::TABLE
            .iter()
            .for_each(|(_, name, since)| check(name, *since));
    }
    if include_folders().is_empty() {
        skep_testing::lacks("linux/bpf.h (linux-libc-dev)");
    }
}
