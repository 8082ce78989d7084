//! User-space binaries: from a library's name to its path, from a symbol to the file offset
//! that a uprobe needs.

mod symbols;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use object::{Object as _, ObjectSection as _, ReadCache};
use skep_btf::Btf;

use self::symbols::Symbols;
use crate::{Error, Result};

/// Finds a binary as a section name or a user gives it: a path, a program on `PATH`, or a
/// library (`libc`, `libc.so.6`) on the loader's search path; with `pid`, first among what that
/// process has mapped.
///
/// # Errors
/// Nothing of that name is there.
pub fn find_binary(name: &str, pid: Option<u32>) -> Result<PathBuf> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match path.metadata() {
            Ok(meta) if meta.is_file() => Ok(path),
            Ok(_) => Err(Error::binary(name, "it is not a file")),
            Err(error) => Err(Error::binary(name, error.to_string())),
        };
    }
    if let Some(found) = pid.and_then(|pid| mapped_in(pid, name)) {
        return Ok(found);
    }
    let candidates = library_folders()
        .into_iter()
        .flat_map(|folder| library_in(&folder, name))
        .chain(
            program_folders()
                .into_iter()
                .map(|folder| folder.join(name)),
        );
    candidates
        .filter(|path| path.is_file())
        .find(|path| fs::canonicalize(path).is_ok_and(|real| is_elf(&real)))
        .ok_or_else(|| {
            Error::binary(
                name,
                "no library or program of that name on the search paths; give its path",
            )
        })
}

/// Whether a process is not there any more, is about to go (its files below `/proc` go first), or has
/// ended and waits to be asked how.
pub(crate) fn has_ended(pid: u32) -> bool {
    /// `PF_EXITING`
    const EXITING: u32 = 4;
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The name before the state may have anything in it.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| {
            let flags = rest.split(' ').nth(6).and_then(|word| word.parse().ok());
            rest.starts_with(['Z', 'X']) || flags.is_some_and(|flags: u32| flags & EXITING != 0)
        }),
        Err(_) => {
            Path::new("/proc/self/stat").exists() && !Path::new(&format!("/proc/{pid}")).exists()
        }
    }
}

/// Opens BTF: a raw file of it, or the section `.BTF` of an ELF file such as a `vmlinux`.
///
/// # Errors
/// The file can't be read, or has no BTF in it, or that is malformed.
pub fn open_btf(path: &Path) -> Result<Btf> {
    let shown = path.display().to_string();
    let fault = |reason: String| Error::binary(&shown, reason);
    let bytes = if is_elf(path) {
        let file = fs::File::open(path).map_err(|error| fault(error.to_string()))?;
        let cache = ReadCache::new(file);
        let elf = object::File::parse(&cache).map_err(|error| fault(error.to_string()))?;
        let section = elf.section_by_name(".BTF").ok_or_else(|| {
            fault("it has no section .BTF: it was made without BTF, or stripped of it".into())
        })?;
        let data = section.uncompressed_data();
        data.map_err(|error| fault(error.to_string()))?.into_owned()
    } else {
        fs::read(path).map_err(|error| fault(error.to_string()))?
    };
    Btf::parse(bytes)
        .map_err(|error| fault(format!("neither BTF nor an ELF file with it: {error}")))
}

/// The file offset of `symbol` (or `symbol+0x10`) in a binary, as a uprobe wants it. A symbol's
/// version may be named (`memcpy@GLIBC_2.2.5`); without, it is the default one.
///
/// # Errors
/// The file can't be read, is no ELF, or has no function of that name; near names are given.
pub fn symbol_offset(binary: &Path, symbol: &str) -> Result<u64> {
    let shown = binary.display().to_string();
    let (name, addend) = match symbol.rsplit_once('+') {
        Some((name, text)) => match parse_number(text) {
            Some(addend) => (name, addend),
            None => (symbol, 0),
        },
        None => (symbol, 0),
    };
    let symbols = Symbols::open(binary)?;
    let Some(address) = symbols.address(name)? else {
        let mut names = BTreeSet::new();
        symbols.each(|name, _| {
            names.insert(name.to_owned());
        })?;
        let plain = name.split('@').next().unwrap_or(name);
        let near = skep_abi::near_names(plain, names.iter().map(String::as_str));
        let mut reason = format!("it has no function `{name}`");
        if plain != name && names.contains(plain) {
            reason.push_str(&format!(", but `{plain}` of another version"));
        } else if !near.is_empty() {
            reason.push_str(&format!("; did you mean `{}`?", near.join("` or `")));
        } else if symbols.is_stripped() {
            reason.push_str("; it is stripped: only exported functions have names");
        } else {
            reason.push_str(": it is spelt otherwise (C++ and Rust mangle names), or was inlined");
        }
        return Err(Error::binary(&shown, reason));
    };
    let offset = symbols.file_offset(address).ok_or_else(|| {
        Error::binary(&shown, format!("`{name}` at {address:#x} is in no segment"))
    })?;
    Ok(offset.wrapping_add(addend))
}

/// The file offsets of all functions whose name is like `pattern` (`*`, `?`), each once.
///
/// # Errors
/// As for [`symbol_offset`]; there is at least one.
pub(crate) fn offsets_like(binary: &Path, pattern: &str) -> Result<Vec<u64>> {
    if !pattern.contains(['*', '?']) {
        return Ok(vec![symbol_offset(binary, pattern)?]);
    }
    let symbols = Symbols::open(binary)?;
    // Several names may stand for one function.
    let mut offsets = BTreeSet::new();
    symbols.each(|name, function| {
        if skep_abi::glob_matches(pattern, name) {
            offsets.extend(symbols.file_offset(function.address));
        }
    })?;
    if offsets.is_empty() {
        return Err(Error::binary(
            &binary.display().to_string(),
            format!("it has no function like `{pattern}`"),
        ));
    }
    Ok(offsets.into_iter().collect())
}

/// A number of bytes, decimal or `0x…`.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A library or the program itself that `pid` has mapped, seen through its own root.
fn mapped_in(pid: u32, name: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| {
            Path::new(path)
                .file_name()
                .and_then(|file| file.to_str())
                .is_some_and(|file| is_library_named(file, name))
        })
        .map(|path| PathBuf::from(format!("/proc/{pid}/root{path}")))
}

/// `libc` and `c` find `libc.so.6`; `libc.so.6` finds itself.
fn is_library_named(file: &str, name: &str) -> bool {
    file == name
        || file
            .strip_prefix(name)
            .or_else(|| {
                file.strip_prefix("lib")
                    .and_then(|file| file.strip_prefix(name))
            })
            .is_some_and(|rest| rest.starts_with(".so"))
}

fn library_in(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|file| is_library_named(file, name))
        })
        .map(|entry| entry.path())
        .collect();
    // `libc.so` may be a linker script; the shortest name that is an ELF file wins.
    found.sort_by_key(|path| path.as_os_str().len());
    found
}

fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("LD_LIBRARY_PATH")
        .map(|paths| env::split_paths(&paths).collect())
        .unwrap_or_default();
    let arch = env::consts::ARCH;
    for base in ["/lib", "/usr/lib", "/usr/local/lib"] {
        folders.push(format!("{base}/{arch}-linux-gnu").into());
    }
    folders
        .extend(["/lib64", "/usr/lib64", "/usr/local/lib", "/lib", "/usr/lib"].map(PathBuf::from));
    folders
}

fn program_folders() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|paths| env::split_paths(&paths).collect())
        .unwrap_or_default()
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries() {
        assert!(is_library_named("libc.so.6", "libc"));
        assert!(is_library_named("libc.so.6", "c"));
        assert!(is_library_named("libc.so.6", "libc.so.6"));
        assert!(!is_library_named("libcap.so.2", "libc"));
    }

    #[test]
    fn libc_is_found_and_has_malloc() {
        let path = find_binary("libc", None).unwrap();
        let offset = symbol_offset(&path, "malloc").unwrap();
        assert_eq!(symbol_offset(&path, "malloc+0x4").unwrap(), offset + 4);
        let error = symbol_offset(&path, "no_such_function")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no function `no_such_function`"), "{error}");
    }

    #[test]
    fn versions_choose_among_functions_of_a_name() {
        let path = find_binary("libc", None).unwrap();
        // Two versions of one name: without a version it is the default.
        let (old, new) = match env::consts::ARCH {
            "x86_64" => (
                "pthread_cond_wait@GLIBC_2.2.5",
                "pthread_cond_wait@@GLIBC_2.3.2",
            ),
            _ => return,
        };
        let of = |name| symbol_offset(&path, name).unwrap();
        assert_ne!(of(old), of(new));
        assert_eq!(of("pthread_cond_wait"), of(new));
        let error = symbol_offset(&path, "pthread_cond_wait@GLIBC_9")
            .unwrap_err()
            .to_string();
        assert!(error.contains("of another version"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = find_binary("libnothing-of-the-kind", None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("libnothing-of-the-kind"), "{error}");
        let error = symbol_offset(Path::new("/etc/passwd"), "main")
            .unwrap_err()
            .to_string();
        assert!(error.contains("/etc/passwd"), "{error}");
    }
}
