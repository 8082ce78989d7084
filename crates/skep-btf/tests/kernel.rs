//! This kernel's own BTF: reading, searching, and the header that clang must lay out as the BTF says.

mod common;

use common::{compile, installed, kernel_btf};
use skep_btf::{Btf, JsonDump, Kind, KindTag, RawDump, c_header, rust_module};
use std::collections::HashMap;
use std::fmt::Write;
use std::process::Command;

#[test]
fn names_lead_to_types() {
    let Some(bytes) = kernel_btf() else { return };
    let kernel = Btf::parse(bytes).unwrap();
    assert!(kernel.type_count() > 10_000);
    assert_eq!(kernel.pointer_size(), 8);
    for (name, kind) in [
        ("task_struct", KindTag::Struct),
        ("vfs_read", KindTag::Function),
        ("pid_t", KindTag::Typedef),
        ("int", KindTag::Int),
    ] {
        let id = kernel.find(name, kind).unwrap();
        let found = kernel.type_by_id(id).unwrap();
        assert_eq!((found.name(), found.tag()), (name, Some(kind)));
        assert!(kernel.candidates(name).any(|candidate| candidate == id));
    }
    assert_eq!(kernel.find("no_such_struct", KindTag::Struct), None);
    // The index finds each named type, as a walk over all does.
    let mut by_name: HashMap<&str, Vec<_>> = HashMap::new();
    for one in kernel.types().filter(|one| !one.name().is_empty()) {
        by_name.entry(one.name()).or_default().push(one.id());
    }
    for (name, ids) in by_name {
        assert_eq!(kernel.find_by_name(name).collect::<Vec<_>>(), ids, "{name}");
    }
}

#[test]
fn every_kfunc_has_its_tag() {
    let Some(bytes) = kernel_btf() else { return };
    let kernel = Btf::parse(bytes).unwrap();
    let tags = kernel
        .types()
        .filter(|one| one.tag() == Some(KindTag::DeclTag));
    for tag in tags {
        let Kind::DeclTag(found) = tag.kind() else {
            unreachable!()
        };
        let mut names = kernel.decl_tags(found.target, found.component);
        assert!(names.any(|name| name == tag.name()), "{tag:?}");
    }
}

#[test]
fn trusted_parse_gives_the_same_types() {
    let Some(bytes) = kernel_btf() else { return };
    let checked = Btf::parse(bytes.clone()).unwrap();
    let trusted = Btf::parse_trusted(bytes, None).unwrap();
    assert_eq!(checked.type_count(), trusted.type_count());
    let pairs = checked.types().zip(trusted.types());
    assert!(
        pairs
            .clone()
            .all(|(a, b)| (a.id(), a.name(), a.tag()) == (b.id(), b.name(), b.tag()))
    );
}

#[test]
fn dumps_are_those_of_bpftool() {
    let Some(bytes) = kernel_btf() else { return };
    if installed(&["bpftool"]).is_empty() {
        return;
    }
    let kernel = Btf::parse(bytes).unwrap();
    let bpftool = |options: &[&str]| {
        let args = ["btf", "dump", "file", "/sys/kernel/btf/vmlinux"];
        let run = Command::new("bpftool").args(options).args(args).output();
        String::from_utf8(run.unwrap().stdout).unwrap()
    };
    let (raw, json) = (RawDump(&kernel).to_string(), JsonDump(&kernel).to_string());
    let different = ours_and_theirs(&raw, &bpftool(&[]), "\n");
    assert_eq!(different, None);
    // JSON is one line: cut it where types begin.
    let theirs = small_values(bpftool(&["-j"]).trim_end());
    let different = ours_and_theirs(&json, &theirs, "{\"id\"");
    assert_eq!(different, None);
}

fn ours_and_theirs(ours: &str, theirs: &str, cut: &str) -> Option<(String, String)> {
    assert_eq!(ours.split(cut).count(), theirs.split(cut).count());
    let mut pairs = ours.split(cut).zip(theirs.split(cut));
    let different = pairs.find(|(ours, theirs)| ours != theirs);
    different.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
}

/// bpftool 7.1 sign-extends the unsigned 32-bit values of `ENUM` in JSON, and only there.
fn small_values(json: &str) -> String {
    let types = json.split("{\"id\"").map(|one| {
        if !one.contains("\"kind\":\"ENUM\"") || !one.contains("\"UNSIGNED\"") {
            return one.to_owned();
        }
        let values = one.split("\"val\":").map(|part| {
            let end = part.find(|one: char| !one.is_ascii_digit()).unwrap_or(0);
            match part[..end].parse::<u64>() {
                Ok(value) => format!("{}{}", value as u32, &part[end..]),
                Err(_) => part.to_owned(),
            }
        });
        values.collect::<Vec<_>>().join("\"val\":")
    });
    types.collect::<Vec<_>>().join("{\"id\"")
}

/// Every structure and union of a unique name must have the size and the offsets in the header
/// that it has in BTF, by clang's own reckoning.
#[test]
fn clang_lays_out_the_header_as_btf_says() {
    let Some(bytes) = kernel_btf() else { return };
    let kernel = Btf::parse(bytes).unwrap();
    let mut header = String::new();
    c_header(&kernel, None, &mut header).unwrap();
    assert!(header.starts_with("#ifndef __VMLINUX_H__\n"));

    let mut count: HashMap<&str, u32> = HashMap::new();
    let tags = kernel.types().filter(|one| {
        matches!(
            one.kind(),
            Kind::Struct(_) | Kind::Union(_) | Kind::Enum(_) | Kind::Enum64(_)
        )
    });
    for one in tags {
        *count.entry(one.name()).or_default() += 1;
    }
    let mut source = String::from("#include \"vmlinux.h\"\n");
    let (mut structs, mut members) = (0, 0);
    for one in kernel
        .types()
        .filter(|one| count.get(one.name()) == Some(&1))
    {
        let (keyword, composite) = match one.kind() {
            Kind::Struct(composite) => ("struct", composite),
            Kind::Union(composite) => ("union", composite),
            _ => continue,
        };
        let (name, size) = (one.name(), composite.size);
        writeln!(
            source,
            "_Static_assert(sizeof({keyword} {name}) == {size}, \"{name}\");"
        )
        .unwrap();
        structs += 1;
        for member in composite.members() {
            // Bit fields have no address; the members around them show where they are.
            let address = member.bitfield_size == 0 && member.bit_offset % 8 == 0;
            if address && !member.name().is_empty() {
                let (field, offset) = (member.name(), member.bit_offset / 8);
                writeln!(
                    source,
                    "_Static_assert(__builtin_offsetof({keyword} {name}, {field}) == {offset}, \"{name}.{field}\");"
                )
                .unwrap();
                members += 1;
            }
        }
    }
    assert!(
        structs > 1000 && members > 10_000,
        "{structs} structures, {members} members"
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vmlinux.h"), header).unwrap();
    for clang in installed(&["clang-14", "clang-19", "clang"]) {
        compile(&clang, &source, &["-target", "bpf"], dir.path());
    }
}

/// All of the kernel's types, as rustfmt would write them; each name once.
#[test]
fn declarations_in_rust_are_formatted() {
    let Some(bytes) = kernel_btf() else { return };
    let kernel = Btf::parse(bytes).unwrap();
    let mut text = String::new();
    rust_module(&kernel, None, &mut text).unwrap();
    for part in [
        "pub struct task_struct {\n",
        "    real_parent: *mut task_struct,\n",
    ] {
        assert!(text.contains(part), "no {part}");
    }
    let mut names = std::collections::HashSet::new();
    for line in text.lines() {
        let item = ["pub struct ", "pub union ", "pub enum ", "pub const "];
        let Some(rest) = item.iter().find_map(|item| line.strip_prefix(item)) else {
            continue;
        };
        let name = rest.split([' ', ':']).next();
        assert!(names.insert(name), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux.rs");
    std::fs::write(&path, &text).unwrap();
    let run = Command::new("rustfmt")
        .args(["--edition", "2024", "--check"])
        .arg(&path)
        .output();
    let Ok(run) = run else {
        skep_testing::lacks("rustfmt");
        return;
    };
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{}",
        said.get(..2000).unwrap_or(&said)
    );
}
