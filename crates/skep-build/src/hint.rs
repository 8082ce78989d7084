//! Which command installs what on this system, by its /etc/os-release.

use std::fs;

/// What a user may lack.
#[derive(Clone, Copy)]
pub(crate) enum Missing {
    Clang,
    /// `linux/*.h`, `asm/*.h`.
    KernelHeaders,
    /// `stdint.h` and the C library's other headers.
    CHeaders,
    Rust,
    Cargo,
    /// The standard library's source.
    RustSource,
    /// `cc`, which rustc links macros with.
    Linker,
}

/// "install it: apt install clang", as a clause of a sentence.
pub(crate) fn install(missing: Missing) -> String {
    install_on(
        &fs::read_to_string("/etc/os-release").unwrap_or_default(),
        missing,
    )
}

/// One row for each package manager: the systems (ID or ID_LIKE), its command, and its names of
/// what may be missing.
const SYSTEMS: &[(&[&str], &str, [&str; 7])] = &[
    (
        &["debian", "ubuntu"],
        "apt install",
        [
            "clang",
            "linux-libc-dev",
            "libc6-dev",
            "rustc",
            "rust-src",
            "gcc",
            "cargo",
        ],
    ),
    (
        &["fedora", "rhel", "centos"],
        "dnf install",
        [
            "clang",
            "kernel-headers",
            "glibc-devel",
            "rust",
            "rust-src",
            "gcc",
            "cargo",
        ],
    ),
    (
        &["arch"],
        "pacman -S",
        [
            "clang",
            "linux-api-headers",
            "glibc",
            "rust",
            "rust-src",
            "gcc",
            "rust",
        ],
    ),
    (
        &["alpine"],
        "apk add",
        [
            "clang",
            "linux-headers",
            "musl-dev",
            "rust",
            "rust-src",
            "gcc",
            "cargo",
        ],
    ),
    (
        &["suse", "opensuse"],
        "zypper install",
        [
            "clang",
            "linux-glibc-devel",
            "glibc-devel",
            "rust",
            "rust-src",
            "gcc",
            "cargo",
        ],
    ),
];

fn install_on(os_release: &str, missing: Missing) -> String {
    let ids = || {
        os_release
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
            .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
    };
    let (package, what) = match missing {
        Missing::Clang => (0, "clang 11 or newer with the bpf target"),
        Missing::KernelHeaders => (1, "the kernel's user-space headers"),
        Missing::CHeaders => (2, "the C library's headers"),
        Missing::Rust => (3, "rustc"),
        Missing::RustSource => (
            4,
            "Rust's source, usually called rust-src, of the same version",
        ),
        Missing::Cargo => (6, "cargo"),
        Missing::Linker => (5, "a C compiler, with which rustc links macros"),
    };
    SYSTEMS
        .iter()
        .find(|(systems, ..)| ids().any(|id| systems.contains(&id)))
        .map_or_else(
            || format!("install {what}"),
            |(_, command, packages)| format!("install it with `{command} {}`", packages[package]),
        )
}

/// The remedy where rustc says that it finds no linker.
pub(crate) fn for_missing_linker(stderr: &str) -> Option<String> {
    let (_, rest) = stderr.split_once("linker `")?;
    let (name, rest) = rest.split_once('`')?;
    let remedy = || {
        format!(
            "rustc links macros with `{name}`: {}",
            install(Missing::Linker)
        )
    };
    rest.starts_with(" not found").then(remedy)
}

/// The remedy for what clang says, where it does not say it itself.
pub(crate) fn for_clang(stderr: &str) -> Option<String> {
    for_missing_header(stderr).or_else(|| for_name_of_section(stderr))
}

/// Clang names no place when a variable has the name of a section.
fn for_name_of_section(stderr: &str) -> Option<String> {
    let (_, name) = stderr.split_once("error: symbol '")?;
    let (name, _) = name.split_once("' is already defined")?;
    Some(format!(
        "clang takes no variable or function that is named as a section, here `{name}`: give it \
         another name, such as `{}`",
        match name.to_uppercase() {
            upper if upper != name => upper,
            _ => format!("{name}_"),
        }
    ))
}

/// The remedy for a header that is not there, if a package brings it.
fn for_missing_header(stderr: &str) -> Option<String> {
    let (before, _) = stderr.split_once("' file not found")?;
    let (_, header) = before.rsplit_once('\'')?;
    let missing = match header.split_once('/') {
        Some(("linux" | "asm" | "asm-generic", _)) => Missing::KernelHeaders,
        Some(("sys" | "bits" | "gnu" | "net" | "netinet" | "arpa", _)) => Missing::CHeaders,
        None if matches!(
            header,
            "stdint.h" | "string.h" | "errno.h" | "stdlib.h" | "stdio.h"
        ) =>
        {
            Missing::CHeaders
        }
        _ => return None,
    };
    Some(format!(
        "<{header}> is not on this system: {}",
        install(missing)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sections() {
        let stderr = "error: license changed binding to STB_GLOBAL\n\
                      error: symbol 'license' is already defined";
        let hint = for_clang(stderr);
        assert!(hint.is_some_and(|hint| hint.ends_with("such as `LICENSE`")));
        assert_eq!(for_clang("a.c:1:5: error: redefinition of 'f'"), None);
    }

    #[test]
    fn commands_of_systems() {
        let on = |text, missing| install_on(text, missing);
        let debian = "NAME=\"Debian GNU/Linux\"\nID=debian\n";
        assert_eq!(
            on(debian, Missing::Clang),
            "install it with `apt install clang`"
        );
        let mint = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
        assert_eq!(
            on(mint, Missing::KernelHeaders),
            "install it with `apt install linux-libc-dev`"
        );
        let rocky = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert_eq!(
            on(rocky, Missing::CHeaders),
            "install it with `dnf install glibc-devel`"
        );
        let leap = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n";
        assert_eq!(
            on(leap, Missing::Clang),
            "install it with `zypper install clang`"
        );
        assert_eq!(
            on("ID=arch", Missing::Clang),
            "install it with `pacman -S clang`"
        );
        assert_eq!(
            on("ID=alpine", Missing::Clang),
            "install it with `apk add clang`"
        );
        assert_eq!(
            on("", Missing::Clang),
            "install clang 11 or newer with the bpf target"
        );
    }

    #[test]
    fn headers_that_packages_bring() {
        let of = |header: &str| {
            for_missing_header(&format!(
                "a.c:1:10: fatal error: '{header}' file not found\n"
            ))
        };
        assert!(of("linux/bpf.h").is_some_and(|hint| hint.starts_with("<linux/bpf.h> is not")));
        assert!(of("asm/types.h").is_some() && of("stdint.h").is_some());
        assert_eq!(of("opensnoop.h"), None);
        assert_eq!(
            for_missing_header("a.c:1:1: error: unknown type name 'u32'"),
            None
        );
    }
}
