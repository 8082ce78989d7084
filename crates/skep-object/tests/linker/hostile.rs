//! Objects from anyone: an answer that names the file and the place, no panic, and no more memory
//! than the files are large. `skep-fuzz` does the same for longer.

use std::sync::OnceLock;

use object::{Endianness, Object as _, ObjectSection as _, read::elf::ElfFile64};
use proptest::prelude::*;
use skep_object::{Error, Object};

use super::{common, compile, compile_texts, link};

/// Halves of programs, side by side, in both byte orders.
fn halves() -> &'static [Vec<u8>] {
    static HALVES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    HALVES.get_or_init(|| {
        let Some(clang) = common::clangs().pop() else {
            return Vec::new();
        };
        let folder = tempfile::tempdir().unwrap();
        let mut halves = Vec::new();
        for target in ["bpfel", "bpfeb"] {
            for name in ["one", "two", "ops_one", "ops_two"] {
                let path = compile(folder.path(), clang, name, &["-target", target]);
                halves.push(std::fs::read(path).unwrap());
            }
        }
        halves
    })
}

/// Links with the other half in both orders, and reads what comes of it.
fn use_up(bytes: &[u8], other: &[u8]) {
    for objects in [
        [("a.o", bytes), ("b.o", other)],
        [("b.o", other), ("a.o", bytes)],
    ] {
        match link(objects) {
            Ok(linked) => {
                assert!(
                    linked.len() < bytes.len() + other.len() + (1 << 20),
                    "{}",
                    linked.len()
                );
                let _ = Object::parse(&linked).map_err(|error| error.to_string());
                assert!(link([("linked.o", linked.as_slice())]).unwrap() == linked);
            }
            Err(error) => assert!(error.to_string().len() < 4096, "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn changed_words_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![
                0_u32, 1, 2, 7, 8, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fff_ffff, 0x8000_0000, u32::MAX,
            ])),
            1..4,
        ),
    ) {
        if halves().is_empty() { return Ok(()); }
        let which = which.index(halves().len());
        let mut bytes = halves()[which].clone();
        for (at, word) in changes {
            let at = at.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        use_up(&bytes, &halves()[which ^ 1]);
    }
}

/// Fields of `Elf64_Shdr`.
const NAME: usize = 0;
const FLAGS: usize = 0x08;
const OFFSET: usize = 0x18;
const SIZE: usize = 0x20;
const ALIGN: usize = 0x30;

/// The field of a section's header, to be read or changed.
fn field(bytes: &[u8], section: &str, field: usize) -> std::ops::Range<usize> {
    let elf = ElfFile64::<Endianness>::parse(bytes).unwrap();
    let index = elf.section_by_name(section).unwrap().index().0;
    let headers = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap());
    let start = headers as usize + index * 0x40 + field;
    let len = if field == NAME { 4 } else { 8 };
    start..start + len
}

fn object(text: &str) -> Option<Vec<u8>> {
    let clang = common::clangs().pop()?;
    Some(compile_texts(clang, &[text]).remove(0).1)
}

/// Changes headers and gives the error of linking the object twice, as a.o and b.o.
#[track_caller]
fn refused(bytes: &[u8], expect: &[&str]) {
    let error = link([("a.o", bytes)]).and_then(|_| link([("a.o", bytes), ("b.o", bytes)]));
    let text = error.expect_err("it is damaged").to_string();
    for part in expect {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

const TEXT: &str = "static volatile int a = 1; static volatile int b[64]; static const volatile int c[] = { 1, 2 };
    SEC(\"socket\") WEAK int p(void *x) { b[a] = c[1]; return a; }";

#[test]
fn sections_take_no_more_than_they_say() {
    let Some(original) = object(TEXT) else { return };
    link([("a.o", original.as_slice()), ("b.o", &original)]).unwrap();
    let changed = |section: &str, what: usize, value: u64| {
        let mut bytes = original.clone();
        let place = field(&bytes, section, what);
        bytes[place].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    refused(
        &changed(".data", ALIGN, 1 << 40),
        &[
            "a.o: malformed object at .data+0x0: an alignment of 0x10000000000, expected a power of two",
        ],
    );
    refused(
        &changed(".data", ALIGN, 3),
        &["an alignment of 0x3, expected a power of two"],
    );
    refused(
        &changed(".bss", SIZE, 1 << 32),
        &["a.o: malformed object at .bss+0x0: a section of 4 GiB"],
    );
    refused(
        &changed(".bss", SIZE, 0xf000_0000),
        &["bytes in a section of the linked object, the limit is 4294967295"],
    );
    // Zeroes cost nothing.
    let large = changed(".bss", SIZE, 1 << 30);
    let linked = link([("a.o", large.as_slice()), ("b.o", &large)]).unwrap();
    assert!(linked.len() < 2 * large.len());
    let code = field(&original, "socket", SIZE);
    let code = u64::from_le_bytes(original[code].try_into().unwrap());
    refused(
        &changed("socket", SIZE, code + 4),
        &[
            "a.o: malformed object at socket+0x0: code of 0x",
            "no multiple of 8",
        ],
    );
}

/// Else they would be there twice, and the copy be taken for them when the result is read.
#[test]
fn types_that_say_they_are_loaded_are_not_copied() {
    let Some(whole) = object(TEXT) else {
        return;
    };
    let expected = link([("a.o", whole.as_slice())]).unwrap();
    for section in [".BTF", ".BTF.ext"] {
        let mut bytes = whole.clone();
        let flags = field(&bytes, section, FLAGS);
        bytes[flags.start] |= 2; // SHF_ALLOC
        let linked = link([("a.o", bytes.as_slice())]).unwrap();
        assert!(linked == expected, "{section}");
    }
}

/// Lines of source that overlap in the file do not in the result: sixteen bytes a record would
/// become as many copies of a long line.
#[test]
fn overlapping_lines_are_not_multiplied() {
    let body = "sink++;\n".repeat(1000);
    let long = "L".repeat(300_000);
    let text = format!(
        "volatile int sink;\nSEC(\"socket\") int p(void *c) {{\n{body}return 0; /* {long} */ }}"
    );
    let Some(mut bytes) = object(&text) else {
        return;
    };
    let place = |bytes: &[u8], section: &str| {
        let field = field(bytes, section, OFFSET);
        u64::from_le_bytes(bytes[field].try_into().unwrap()) as usize
    };
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let types = place(&bytes, ".BTF");
    let strings = types + word(&bytes, types + 4) + word(&bytes, types + 16);
    let at = |part: &[u8]| {
        bytes[strings..]
            .windows(part.len())
            .position(|one| one == part)
    };
    let long = at(&[b'L'; 300_000]).expect("the long line");
    let ext = place(&bytes, ".BTF.ext");
    // A record's size, then a section's name and its number of records.
    let lines = ext + word(&bytes, ext + 4) + word(&bytes, ext + 16);
    let (size, count) = (word(&bytes, lines), word(&bytes, lines + 8));
    assert!(count >= 1000, "{count} lines");
    for number in 0..count {
        let text = lines + 12 + number * size + 8;
        bytes[text..text + 4].copy_from_slice(&((long + number) as u32).to_le_bytes());
    }
    refused(
        &bytes,
        &[
            "a.o: object too large: ",
            " bytes of strings, the limit is ",
        ],
    );
}

#[test]
fn sections_do_not_share_bytes() {
    let Some(original) = object(TEXT) else { return };
    // All of the file, as data: more than is left for the others.
    let mut bytes = original.clone();
    let (offset, size) = (field(&bytes, ".data", OFFSET), field(&bytes, ".data", SIZE));
    bytes[offset].fill(0);
    let len = bytes.len() as u64;
    bytes[size].copy_from_slice(&len.to_le_bytes());
    refused(
        &bytes,
        &["a.o: malformed object at ", "it overlaps another section"],
    );
}

#[test]
fn sections_have_names_of_their_own() {
    let Some(mut bytes) = object(TEXT) else {
        return;
    };
    let (data, rodata) = (field(&bytes, ".data", NAME), field(&bytes, ".rodata", NAME));
    bytes.copy_within(rodata, data.start);
    refused(
        &bytes,
        &["have one name, and types can't say which they mean"],
    );
}

#[test]
fn symbols_lie_in_their_sections() {
    let Some(original) = object("u64 first = 1; u64 last = 2;") else {
        return;
    };
    let elf = ElfFile64::<Endianness>::parse(original.as_slice()).unwrap();
    let table = elf
        .section_by_name(".symtab")
        .unwrap()
        .file_range()
        .unwrap();
    let symbol = elf.symbol_by_name("last").unwrap();
    let value = table.0 as usize + object::ObjectSymbol::index(&symbol).0 * 24 + 8;
    let mut bytes = original.clone();
    bytes[value..value + 8].copy_from_slice(&9_u64.to_le_bytes());
    refused(
        &bytes,
        &[
            "a.o: malformed object at .data+0x9: symbol `last`: 0x8 bytes at 0x9 reach beyond its section of 0x10",
        ],
    );
}

#[test]
fn relocations_are_of_known_kinds_where_they_fit() {
    let Some(original) = object(TEXT) else { return };
    let elf = ElfFile64::<Endianness>::parse(original.as_slice()).unwrap();
    let table = elf
        .section_by_name(".relsocket")
        .unwrap()
        .file_range()
        .unwrap();
    let kind = table.0 as usize + 8;
    let changed = |number: u8| {
        let mut bytes = original.clone();
        bytes[kind] = number;
        bytes
    };
    refused(
        &changed(77),
        &["a.o: socket+0x", "relocation type 77 is not known"],
    );
    refused(
        &changed(10),
        &["R_BPF_64_32 on an instruction of opcode 0x18"],
    );
    let mut bytes = original.clone();
    bytes[table.0 as usize] += 4;
    refused(
        &bytes,
        &["R_BPF_64_64 of 16 bytes where there is no room for it"],
    );
}

#[test]
fn what_only_some_linkers_know_is_refused() {
    let Some(clang) = common::clangs().pop() else {
        return;
    };
    let common = "__asm__(\".comm shared,8,8\\n\");";
    let absolute = "__asm__(\".globl answer\\n  .set answer, 42\\n\");";
    for (text, name) in [(common, "shared"), (absolute, "answer")] {
        let objects = compile_texts(clang, &[text]);
        let error = link([("a.o", objects[0].1.as_slice())]).unwrap_err();
        assert!(matches!(&error, Error::InFile { file, .. } if file == "a.o"));
        let text = error.to_string();
        assert!(
            text.contains(&format!("symbol `{name}`: it is absolute or common")),
            "{text}"
        );
    }
}
