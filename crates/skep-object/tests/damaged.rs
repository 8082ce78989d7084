//! Objects that were whole and are damaged: each damage is an error that names its place. Where
//! `errors.rs` has what a compiler can write, these are bytes that none does.

mod common;

use object::{
    Endianness,
    elf::{self, FileHeader64, Rel64, SectionHeader64, Sym64},
    pod,
    read::elf::{FileHeader as _, SectionHeader as _},
};
use skep_abi::KernelVersion;
use skep_btf::{Btf, KindTag};
use skep_object::{LinkOptions, Object, Target};

const LITTLE: Endianness = Endianness::Little;

const TEXT: &str = "
    typedef int number;
    struct { __uint(type, MAP_HASH); __uint(max_entries, 1); __type(key, number);
             __type(value, u64); } m SEC(\".maps\");
    int data = 4;
    struct ops { long first, second; };
    struct ops one SEC(\".struct_ops\") = { 1 }, two SEC(\".struct_ops\") = { 2 };
    NOINLINE int sub(int x) { return x + 1; }
    SEC(\"socket\") int p(void *c) {
        number key = 0; return !map_lookup(&m, &key) + sub(data); }";

/// The object, to be damaged.
struct Whole {
    bytes: Vec<u8>,
}

impl Whole {
    fn all() -> Vec<Self> {
        let compiled = common::clangs().into_iter();
        compiled
            .map(|clang| Self {
                bytes: common::compile_text(clang, TEXT, &["-target", "bpfel"]),
            })
            .collect()
    }

    /// Where a section's header, and its data, are in the file.
    fn section(&self, name: &str) -> (usize, std::ops::Range<usize>) {
        let header = FileHeader64::<Endianness>::parse(&*self.bytes).unwrap();
        let sections = header.sections(LITTLE, &*self.bytes).unwrap();
        let found = |section: &&SectionHeader64<Endianness>| {
            sections.section_name(LITTLE, section).unwrap() == name.as_bytes()
        };
        let (index, section) = sections.iter().enumerate().find(|(_, s)| found(s)).unwrap();
        let start = section.sh_offset(LITTLE) as usize;
        let place = header.e_shoff(LITTLE) as usize + index * size_of_val(section);
        (place, start..start + section.sh_size(LITTLE) as usize)
    }

    fn change_section(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut SectionHeader64<Endianness>),
    ) {
        let (place, _) = self.section(name);
        let bytes = &mut self.bytes[place..];
        change(
            pod::from_bytes_mut::<SectionHeader64<Endianness>>(bytes)
                .unwrap()
                .0,
        );
    }

    fn change_symbol(&mut self, name: &str, change: impl FnOnce(&mut Sym64<Endianness>)) {
        let (_, strings) = self.section(".strtab");
        let (_, symbols) = self.section(".symtab");
        let names = self.bytes[strings].to_vec();
        let (symbols, _) = pod::slice_from_bytes_mut::<Sym64<Endianness>>(
            &mut self.bytes[symbols.start..],
            symbols.len() / 24,
        )
        .unwrap();
        let is = |symbol: &&mut Sym64<Endianness>| {
            let start = symbol.st_name.get(LITTLE) as usize;
            names[start..].split(|byte| *byte == 0).next() == Some(name.as_bytes())
        };
        change(symbols.iter_mut().find(is).unwrap());
    }

    fn change_relocation(&mut self, section: &str, change: impl FnOnce(&mut Rel64<Endianness>)) {
        let (_, relocations) = self.section(section);
        let bytes = &mut self.bytes[relocations];
        change(pod::from_bytes_mut::<Rel64<Endianness>>(bytes).unwrap().0);
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        let error = match Object::parse(&self.bytes) {
            Err(error) => error,
            Ok(object) => object
                .link(&LinkOptions::new(), &Target::new(KernelVersion::new(6, 18)))
                .unwrap_err(),
        };
        let error = error.to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Has each damage done to the objects of all compilers.
#[track_caller]
fn damaged(damage: impl Fn(&mut Whole), expected: &str) {
    for mut whole in Whole::all() {
        Object::parse(&whole.bytes).unwrap();
        damage(&mut whole);
        whole.refused(expected);
    }
}

#[test]
fn truncated_types_are_told() {
    // Of the header's words, the fourth is the types' length, the sixth the strings'.
    let change = |section: &'static str, word: usize, by: i32| {
        move |whole: &mut Whole| {
            let (_, place) = whole.section(section);
            let place = &mut whole.bytes[place.start + word * 4..][..4];
            let old = i32::from_le_bytes((&*place).try_into().unwrap());
            place.copy_from_slice(&(old + by).to_le_bytes());
        }
    };
    let strings = "malformed BTF: the string section (offset 0x";
    damaged(change(".BTF", 5, 1000), strings);
    let types = "malformed BTF: unexpected end of type section at .BTF+0x";
    damaged(change(".BTF", 3, -4), types);
    let types = "malformed BTF: the type section (offset 0x";
    damaged(change(".BTF", 3, 1 << 20), types);
    damaged(
        change(".BTF.ext", 3, 1 << 20),
        "malformed object at .BTF.ext+0x",
    );
    damaged(
        |whole| whole.change_section(".BTF", |section| section.sh_size.set(LITTLE, 20)),
        " of .BTF, which has 0x14 bytes",
    );
}

#[test]
fn types_that_are_made_of_themselves_are_told() {
    damaged(
        |whole| {
            let (_, section) = whole.section(".BTF");
            let btf = Btf::parse(whole.bytes[section.clone()].to_vec()).unwrap();
            let id = btf.find("number", KindTag::Typedef).unwrap();
            let at = btf.type_by_id(id).unwrap().data_offset() as usize;
            // A type's third word is what a typedef stands for.
            let place = section.start + at + 8;
            whole.bytes[place..place + 4].copy_from_slice(&id.0.to_le_bytes());
        },
        "map `m`: the size of its key is not known",
    );
}

#[test]
fn symbols_out_of_their_sections_are_told() {
    damaged(
        |whole| {
            whole.change_symbol("p", |symbol| {
                symbol.st_shndx.set(LITTLE, elf::SymbolSection(200))
            })
        },
        "malformed object at symbol ",
    );
    damaged(
        |whole| whole.change_symbol("p", |symbol| symbol.st_size.set(LITTLE, 1 << 20)),
        "malformed object at socket+0x0: function `p` reaches beyond the section",
    );
    damaged(
        |whole| whole.change_symbol("p", |symbol| symbol.st_value.set(LITTLE, 1 << 20)),
        "malformed object at socket+0x100000: function `p`",
    );
    damaged(
        |whole| whole.change_symbol("p", |symbol| symbol.st_value.set(LITTLE, 4)),
        "malformed object at socket+0x4: function `p`",
    );
    damaged(
        |whole| whole.change_symbol("m", |symbol| symbol.st_value.set(LITTLE, 8)),
        "malformed object at .maps+0x8: variable `m`",
    );
    damaged(
        |whole| whole.change_symbol("data", |symbol| symbol.st_value.set(LITTLE, 1 << 33)),
        "malformed object at .data+0xffffffff: variable `data`",
    );
}

#[test]
fn structs_of_functions_that_overlap_are_told() {
    damaged(
        |whole| whole.change_symbol("two", |symbol| symbol.st_value.set(LITTLE, 8)),
        "malformed object at .struct_ops+0x8: struct `two` overlaps another",
    );
}

#[test]
fn relocations_into_nowhere_are_told() {
    let info = |symbol: u64, kind: u32| symbol << 32 | u64::from(kind);
    damaged(
        |whole| {
            whole.change_relocation(".relsocket", |relocation| {
                relocation.r_offset.set(LITTLE, 1 << 20);
            });
        },
        "malformed object at .relsocket+0x0: it is at offset 0x100000 of socket",
    );
    damaged(
        |whole| {
            whole.change_relocation(".relsocket", |relocation| {
                relocation.r_info.set(LITTLE, info(9999, 1));
            });
        },
        "malformed object at .relsocket+0x0: symbol 9999, but there are ",
    );
    damaged(
        |whole| {
            whole.change_relocation(".relsocket", |relocation| {
                let offset = relocation.r_offset.get(LITTLE);
                relocation.r_offset.set(LITTLE, offset + 4);
            });
        },
        "the place is no instruction's start",
    );
    damaged(
        |whole| {
            whole.change_relocation(".relsocket", |relocation| {
                let symbol = relocation.r_info.get(LITTLE) >> 32;
                relocation.r_info.set(LITTLE, info(symbol, 77));
            });
        },
        "relocation type 77 on an instruction of opcode 0x18",
    );
    damaged(
        |whole| whole.change_section(".relsocket", |section| section.sh_info.set(LITTLE, 77)),
        "malformed object at .relsocket+0x0: it is for section 77, which is not there",
    );
    damaged(
        |whole| {
            whole.change_symbol("m", |symbol| symbol.st_shndx.set(LITTLE, elf::SHN_ABS));
        },
        "refers to `m`: it is in no section",
    );
}
