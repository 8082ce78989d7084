//! What the tests share: the compilers of this machine, a cache of the test's own, and a look into
//! objects.
#![allow(dead_code, reason = "each test uses some of it")]

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolSection};
use skep_build::{Build, Cache, Clang};

/// The folder of these tests' files.
pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// The C files in a folder of the tests.
pub(crate) fn sources(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(here(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

/// One cache for all tests of a binary, empty when it starts.
pub(crate) fn cache() -> Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let make = || {
        let binary = env::current_exe().unwrap();
        let name = binary.file_name().unwrap().to_owned();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("skep-build")
            .join(name);
        let _ = fs::remove_dir_all(&folder);
        let cache = Cache::at(&folder).unwrap();
        // But what core was compiled to is everybody's.
        let all = skep_testing::cache(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let core = all.root().join("rust");
        fs::create_dir_all(&core).unwrap();
        symlink(core, folder.join("rust")).unwrap();
        cache
    };
    CACHE.get_or_init(make).clone()
}

/// Every clang on PATH that will do, one of each version. Empty, and said so, if there is none.
pub(crate) fn clangs() -> Vec<Clang> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = BTreeMap::new();
    for folder in env::split_paths(&path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name
                .strip_prefix("clang-")
                .map(|rest| rest.parse::<u32>().is_ok());
            if (name == "clang" || version == Some(true))
                && let Ok(clang) = Clang::at(&entry.path(), &cache())
            {
                found.entry(clang.version()).or_insert(clang);
            }
        }
    }
    if found.is_empty() {
        skep_testing::lacks("clang");
    }
    found.into_values().collect()
}

/// The running kernel's types are there to make vmlinux.h from.
pub(crate) fn has_kernel_types() -> bool {
    let there = Path::new("/sys/kernel/btf/vmlinux").exists();
    if !there {
        skep_testing::lacks("/sys/kernel/btf/vmlinux");
    }
    there
}

/// linux/bpf.h and its like are there.
pub(crate) fn has_uapi_headers() -> bool {
    let there = Path::new("/usr/include/linux/bpf.h").exists();
    if !there {
        skep_testing::lacks("/usr/include/linux (linux-libc-dev)");
    }
    there
}

/// A build by this compiler with warnings as errors.
pub(crate) fn strict(source: &Path, clang: &Clang) -> Build {
    Build::new(source)
        .clang(clang.clone())
        .cache(cache())
        .argument("-Wall")
        .argument("-Werror")
        .color(false)
}

/// One instruction section: its bytes, and what each relocation points to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) section: String,
    pub(crate) bytes: Vec<u8>,
    /// Offset, and the target: a global's name, or a place in a section (local names differ).
    pub(crate) relocations: Vec<(u64, String)>,
}

/// The instructions of an object, by section name.
pub(crate) fn code(object: &Path) -> Vec<Code> {
    let bytes = fs::read(object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let mut code: Vec<_> = file
        .sections()
        .filter(|section| section.kind() == object::SectionKind::Text && section.size() > 0)
        .map(|section| {
            let relocations = section.relocations().map(|(offset, relocation)| {
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    unreachable!()
                };
                (offset, target(&file, index))
            });
            Code {
                section: section.name().unwrap().to_owned(),
                bytes: section.data().unwrap().to_owned(),
                relocations: relocations.collect(),
            }
        })
        .collect();
    code.sort_by(|a, b| a.section.cmp(&b.section));
    code
}

fn target(file: &object::File<'_>, index: object::SymbolIndex) -> String {
    let symbol = file.symbol_by_index(index).unwrap();
    match symbol.section() {
        SymbolSection::Section(section) if symbol.is_local() => {
            let section = file.section_by_index(section).unwrap();
            format!("{}+{}", section.name().unwrap(), symbol.address())
        }
        _ => symbol.name().unwrap().to_owned(),
    }
}

/// The contents of a section, empty if there is none.
pub(crate) fn section(object: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(object).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    file.section_by_name(name)
        .map(|section| section.data().unwrap().to_owned())
        .unwrap_or_default()
}

/// Kind and name of every type in an object's BTF, in alphabetical order.
pub(crate) fn types(object: &Path) -> Vec<String> {
    let btf = skep_btf::Btf::parse(section(object, ".BTF")).unwrap();
    let mut types: Vec<_> = btf
        .types()
        .map(|of| format!("{:?} {:?}", of.tag(), of.name()))
        .collect();
    types.sort();
    types
}

/// A CO-RE relocation as text: where, of which type, along which path, of which kind.
pub(crate) fn core_relocations(object: &Path) -> Vec<String> {
    let btf = skep_btf::Btf::parse(section(object, ".BTF")).unwrap();
    let ext = section(object, ".BTF.ext");
    let word = |at: usize| u32::from_le_bytes(ext[at..at + 4].try_into().unwrap());
    let text = |offset| {
        btf.string(skep_btf::StringOffset(offset))
            .unwrap()
            .to_owned()
    };
    let (header, start, length) = (word(4) as usize, word(24) as usize, word(28) as usize);
    let mut found = Vec::new();
    if length == 0 {
        return found;
    }
    let (mut at, end) = (header + start, header + start + length);
    let size = word(at) as usize;
    at += 4;
    while at < end {
        let (section, count) = (text(word(at)), word(at + 4));
        at += 8;
        for _ in 0..count {
            let (offset, kind) = (word(at), word(at + 12));
            let id = skep_btf::TypeId(word(at + 4));
            let name = format!("{:?}", btf.type_by_id(id).unwrap().name());
            found.push(format!(
                "{section}+{offset} {name} {} kind {kind}",
                text(word(at + 8))
            ));
            at += size;
        }
    }
    found
}
