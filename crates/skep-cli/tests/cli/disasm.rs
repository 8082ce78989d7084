//! `skep disasm`.

use std::path::Path;

use serde_json::Value;
use skep::{
    btf::{Btf, Kind, KindTag},
    isa::{Endian, assemble, encode_slots},
};

use super::{folder, has_clang, has_kernel_btf, names_object, program, run};

#[test]
fn instructions_have_names_and_source() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let text = run(folder.path(), ["disasm", "names.bpf.o"]).data();
    for part in [
        "; program on_switch (tp_btf/sched_switch): ",
        "; function count (.text): ",
        "; __u64 *seen = bpf_map_lookup_elem(&hits, &pid); @ ",
        "= map[hits]\n",
        "call bpf_map_lookup_elem#1\n",
        "call bpf_get_current_pid_tgid#14\n",
        "= map[names.rodata][0]+4  ; target_pid\n",
        "#count\n",
        "; CO-RE: byte_offset of struct task_struct, access 0:0\n",
        "(95) exit\n",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let source = program("names.bpf.c");
    let from_source = run(folder.path(), ["disasm", source.to_str().unwrap()]).data();
    assert_eq!(from_source, text, "a source is compiled first");
}

#[test]
fn only_what_is_asked_for() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let text = run(
        folder.path(),
        ["disasm", "names.bpf.o", "on_getpid", "--no-source"],
    )
    .data();
    assert!(text.starts_with("; program on_getpid ("), "{text}");
    assert!(
        text.contains("; function count"),
        "what it calls belongs to it:\n{text}"
    );
    assert!(
        !text.contains("on_switch") && !text.contains("__u64"),
        "{text}"
    );
    let text = run(folder.path(), ["disasm", "names.bpf.o", "count"]).data();
    assert!(!text.contains("; program"), "{text}");
    for linked in [&[][..], &["--linked"]] {
        let words = [&["disasm", "names.bpf.o", "on_swicth"], linked].concat();
        run(folder.path(), words)
            .ended_with(2)
            .saying(&["`on_swicth`", "`on_switch`"]);
    }
}

/// The bytes of each function, by `--format json`.
fn bytes_by_function(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let json = run(folder, ["disasm", "names.bpf.o", "--format", "json"]).data();
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for line in json.lines() {
        let row: Value = serde_json::from_str(line).expect(line);
        let function = row["function"].as_str().expect("a function").to_owned();
        let bytes = row["bytes"].as_str().expect("bytes");
        let bytes = bytes
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap());
        match found.last_mut() {
            Some((last, all)) if *last == function => all.extend(bytes),
            _ => found.push((function, bytes.collect())),
        }
    }
    found
}

#[test]
fn the_text_assembles_to_the_same_bytes() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let functions = bytes_by_function(folder.path());
    let names: Vec<&str> = functions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["count", "on_switch", "on_getpid"]);
    let text = run(folder.path(), ["disasm", "names.bpf.o", "--no-names"]).data();
    let texts: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(texts.len(), functions.len());
    for (text, (name, bytes)) in texts.iter().zip(&functions) {
        let slots = assemble(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        assert_eq!(
            encode_slots(&slots, Endian::NATIVE),
            *bytes,
            "{name}:\n{text}"
        );
    }
}

#[test]
fn json_rows_say_where_they_come_from() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let json = run(
        folder.path(),
        ["disasm", "names.bpf.o", "-f", "json", "on_getpid"],
    )
    .data();
    let rows: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let call = rows
        .iter()
        .find(|row| row["text"] == "call bpf_get_current_pid_tgid#14");
    let call = call.unwrap_or_else(|| panic!("no call in:\n{json}"));
    assert_eq!(call["program"], "on_getpid");
    assert_eq!(call["opcode"], 0x85);
    assert_eq!(call["bytes"], "85 00 00 00 0e 00 00 00");
    let text = std::fs::read_to_string(program("names.bpf.c")).unwrap();
    let line = call["source"]["line"].as_u64().unwrap() as usize;
    assert!(
        text.lines()
            .nth(line - 1)
            .unwrap()
            .contains("bpf_get_current_pid_tgid"),
        "{call}"
    );
    assert!(
        call["source"]["file"]
            .as_str()
            .unwrap()
            .ends_with("names.bpf.c")
    );
    let of_subprogram = rows.iter().find(|row| row["function"] == "count").unwrap();
    assert_eq!(of_subprogram["program"], Value::Null);
}

#[test]
fn bytes_stand_beside_the_text() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let text = run(folder.path(), ["disasm", "names.bpf.o", "--raw"]).data();
    assert!(
        text.contains(": 95 00 00 00 00 00 00 00  (95) exit\n"),
        "{text}"
    );
    let (wide, rest) = text.split_once("map[hits]\n").expect("a load of a map");
    assert!(wide.lines().last().unwrap().contains(": 18 "), "{wide}");
    assert_eq!(
        rest.lines().next().unwrap().trim(),
        "00 00 00 00 00 00 00 00"
    );
}

#[test]
fn linked_shows_this_kernels_offsets() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let kernel = Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
    let task = kernel
        .find("task_struct", KindTag::Struct)
        .expect("task_struct");
    let Kind::Struct(task) = kernel.type_by_id(task).unwrap().kind() else {
        unreachable!()
    };
    let pid = task
        .members()
        .find(|member| member.name() == "pid")
        .expect("pid");
    let offset = pid.bit_offset / 8;
    assert_ne!(offset, 0, "the test can tell nothing where it is first");

    let text = run(
        folder.path(),
        ["disasm", "--linked", "names.bpf.o", "on_switch"],
    )
    .data();
    assert!(
        text.contains(&format!(" = *(u32 *)(r1 +{offset})\n")),
        "{offset}:\n{text}"
    );
    assert!(text.contains("; function count:\n"), "{text}");
    assert!(
        text.contains("#count\n") && text.contains("= map[hits]\n"),
        "{text}"
    );
    assert!(text.contains("  ; target_pid\n"), "{text}");
    assert!(!text.contains("CO-RE"), "{text}");
    let unlinked = run(folder.path(), ["disasm", "names.bpf.o", "on_switch"]).data();
    assert!(
        unlinked.contains(" = *(u32 *)(r1 +0)  ; CO-RE"),
        "{unlinked}"
    );
}

#[test]
fn what_the_kernel_lacks_is_marked() {
    if !has_clang() || !has_kernel_btf() {
        return;
    }
    let folder = folder();
    let source = std::fs::read_to_string(program("names.bpf.c")).unwrap();
    let source = source
        .replace("int pid;", "int no_such_field;")
        .replace("next->pid", "next->no_such_field");
    std::fs::write(folder.path().join("lacks.c"), source).unwrap();
    let text = run(
        folder.path(),
        ["disasm", "--linked", "lacks.c", "on_switch"],
    )
    .data();
    let line = text
        .lines()
        .find(|line| line.contains("; not in this kernel: "));
    let line = line.unwrap_or_else(|| panic!("nothing is marked:\n{text}"));
    assert!(line.contains("no_such_field"), "{line}");
}

#[test]
fn colours_only_where_they_are_wanted() {
    if !has_clang() {
        return;
    }
    let folder = folder();
    names_object(folder.path());
    let plain = run(folder.path(), ["disasm", "names.bpf.o"]).data();
    assert!(!plain.contains('\x1b'));
    let colored = run(
        folder.path(),
        ["disasm", "names.bpf.o", "--color", "always"],
    )
    .data();
    assert!(colored.contains("\x1b["));
    let mut command = super::skep(folder.path());
    command
        .env("CLICOLOR_FORCE", "1")
        .args(["disasm", "names.bpf.o", "--color=never"]);
    assert_eq!(super::Ran::of(&mut command).data(), plain);
}
