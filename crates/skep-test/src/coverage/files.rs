//! Files of source: which are the user's, and how their paths are written.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Whether a file belongs to a library and not to the program under test:
///
/// - one below `/usr`, `/opt` or `/nix`, or of a compiler's or registry's own source
///   (`/rustc/…`, `.cargo/registry/…`, `lib/clang/…`);
/// - the kernel's types, `vmlinux.h`;
/// - the headers that come with Skep or libbpf: `skep.h`, what is in a folder `skep`, and
///   `bpf_*.h` and `usdt.bpf.h` in a folder `bpf`.
///
/// The user's own headers are no library, wherever they are included from.
pub fn is_library(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let roots = ["/usr/", "/opt/", "/nix/", "/rustc/"];
    let inside = [
        "/.cargo/registry/",
        "/.cargo/git/",
        "/lib/clang/",
        "/lib/rustlib/",
    ];
    if roots.iter().any(|root| text.starts_with(root))
        || inside.iter().any(|folder| text.contains(folder))
    {
        return true;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().and_then(Path::file_name);
    let folder = folder.unwrap_or_default().to_string_lossy();
    match (&*folder, &*name) {
        (_, "vmlinux.h" | "skep.h") => true,
        ("bpf", name) => name == "usdt.bpf.h" || name.starts_with("bpf_") && name.ends_with(".h"),
        ("skep", name) => name.ends_with(".h"),
        _ => false,
    }
}

/// The path without `.` and `..`, as far as that can be said without looking at the disk.
pub(super) fn plain(path: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// The path as it is shown: from the current folder if it is below it.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let below = path.strip_prefix(&here).unwrap_or(path);
    clean(&below.display().to_string())
}

/// A text from an object, without what would be more than a text in a terminal or a tracefile.
pub(super) fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Sources are not larger than this, in bytes.
const LARGEST: u64 = 16 << 20;

/// The text of a source; empty if it can't be read. The path is what an object says, so it may be
/// that of anything.
pub(super) fn read(path: &Path) -> String {
    let is_source = |meta: fs::Metadata| meta.is_file() && meta.len() <= LARGEST;
    let bytes = match fs::metadata(path).map(is_source) {
        Ok(true) => fs::read(path).unwrap_or_default(),
        _ => Vec::new(),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries() {
        for path in [
            "/usr/include/linux/ip.h",
            "/home/me/.cache/skep/include-1f/bpf/bpf_helpers.h",
            "/home/me/.cache/skep/include-1f/skep.h",
            "/home/me/.cache/skep/include-1f/skep/preprocessor.h",
            "vmlinux/x86/vmlinux.h",
            "/usr/lib/llvm-14/lib/clang/14.0.6/include/stdint.h",
            "/home/me/.cargo/registry/src/index/aya-ebpf-0.1/src/lib.rs",
        ] {
            assert!(is_library(Path::new(path)), "{path}");
        }
        for path in [
            "/home/me/fw/fw.bpf.c",
            "fw/parsing.h",
            "/home/me/fw/bpf/fw.h",
            "/home/usr/include/x.h",
        ] {
            assert!(!is_library(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(plain("/a/./b/../c.h"), Path::new("/a/c.h"));
        assert_eq!(plain("../a/../../c.h"), Path::new("../../c.h"));
        assert_eq!(plain("./c.h"), Path::new("c.h"));
    }
}
