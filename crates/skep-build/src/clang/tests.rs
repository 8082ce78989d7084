//! Versions, and which of several compilers is taken.

use super::*;

#[test]
fn versions_as_distributions_print_them() {
    let parse = |text| ClangVersion::parse(text).map(|version| version.to_string());
    assert_eq!(
        parse("Debian clang version 14.0.6\nTarget: x").as_deref(),
        Some("14.0.6")
    );
    assert_eq!(
        parse("clang version 20.1.8 (Fedora 20.1.8-1.fc42)").as_deref(),
        Some("20.1.8")
    );
    assert_eq!(
        parse("Ubuntu clang version 18.1.3 (1ubuntu1)").as_deref(),
        Some("18.1.3")
    );
    assert_eq!(
        parse("clang version 21.0.0git (https://x)").as_deref(),
        Some("21.0.0")
    );
    assert_eq!(parse("gcc (Debian 12.2.0-14) 12.2.0"), None);
}

/// A folder with programs that print like clang of these versions; "!" in front: without BPF.
fn programs(of: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, version) in of {
        let (bpf, version) = match version.strip_prefix('!') {
            Some(version) => ("1", version),
            None => ("0", *version),
        };
        let script = format!(
            "#!/bin/sh\ncase $1 in --version) echo clang version {version};; *) exit {bpf};; esac\n"
        );
        let path = folder.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn best_of(of: &[(&str, &str)]) -> Result<String> {
    let cache = Cache::temporary().unwrap();
    let folder = programs(of);
    let found = Clang::best(candidates(folder.path().as_os_str()), &cache)?;
    assert_eq!(
        Clang::at(found.path(), &cache)?,
        found,
        "the same from the cache"
    );
    Ok(found
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned())
}

#[test]
fn plain_clang_if_it_will_do() {
    assert_eq!(
        best_of(&[("clang-19", "19.1.7"), ("clang", "14.0.6")]).unwrap(),
        "clang"
    );
}

#[test]
fn else_the_newest() {
    let of = [
        ("clang", "10.0.0"),
        ("clang-9", "9.0.0"),
        ("clang-13", "13.0.1"),
        ("clang-19", "!19.1.7"),
        ("clang-tidy-20", "20.0.0"),
    ];
    assert_eq!(best_of(&of).unwrap(), "clang-13");
}

#[test]
fn errors_say_what_there_was_and_what_to_do() {
    let said = |of: &[(&str, &str)]| best_of(of).unwrap_err().to_string();
    assert!(said(&[]).starts_with("no clang found on PATH: install"));
    let old = said(&[("clang", "9.0.1"), ("clang-10", "10.0.0")]);
    assert!(
        old.contains("is clang 10.0.0, too old: 11.0.0 or newer is needed"),
        "{old}"
    );
    let bare = said(&[("clang", "!16.0.0")]);
    assert!(
        bare.contains("(clang 16.0.0) was built without the bpf target"),
        "{bare}"
    );
    let broken = said(&[("clang", "nonsense")]);
    assert!(
        broken.contains("is no working clang: it says \"clang version nonsense\""),
        "{broken}"
    );
}
