//! Static probe points of user space: for each point of some programs that are about, libbpf and
//! Skep must tell a BPF program the same of where the arguments are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use skep::{Object, find_binary, usdt::Notes};
use skep_testing::{Outcome, Stop, ensure};

use crate::{Corpus, HOST};

/// The specs map has 256 entries.
const ENTRIES: u32 = 256;

pub(crate) fn usdt() -> Outcome {
    let corpus = Corpus::new()?;
    let folder = corpus.folder.path();
    let c = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let object = folder.join("usdt.o");
    let bytes = skep_testing::compile(&c.join("usdt.bpf.c"), env!("CARGO_TARGET_TMPDIR"))?;
    std::fs::write(&object, bytes)?;

    let mut binaries: Vec<PathBuf> = ["libstdc++", "python3", "gcc", "libc"]
        .into_iter()
        .filter_map(|name| find_binary(name, None).ok())
        .collect();
    let sdt = folder.join("usdt_sdt");
    if skep_testing::compile_native_as(&sdt, &c.join("usdt_sdt.c"), &[]).is_ok() {
        binaries.push(sdt);
    }
    let mut compared = 0;
    for binary in &binaries {
        let Ok(notes) = Notes::open(binary) else {
            continue;
        };
        let names: BTreeSet<(&str, &str)> = notes
            .points
            .iter()
            .map(|point| (point.provider.as_str(), point.name.as_str()))
            .collect();
        for (provider, name) in names {
            let what = format!("{}:{provider}:{name}", binary.display());
            let theirs = corpus
                .libbpf
                .usdt(&object, "on_many", binary, provider, name)?;
            let ours = specs(&object, &what)?;
            ensure(ours == theirs, || {
                format!("{what}:\n{ours:#?}\nlibbpf:\n{theirs:#?}")
            })?;
            compared += 1;
        }
    }
    match compared {
        0 => Err(Stop::lacks("programs with static probe points")),
        _ => Ok(()),
    }
}

/// What Skep writes for a point: the entries that are not empty.
fn specs(path: &Path, target: &str) -> Outcome<Vec<String>> {
    let mut object = Object::open(path)?;
    object.only_programs(&["on_many"])?;
    object.program("on_many")?.attach_target(target);
    let loaded = object.load(&HOST.1)?;
    let _links = loaded.attach_all()?;
    let map = loaded.map("__bpf_usdt_specs")?;
    let mut found = Vec::new();
    for key in 0..ENTRIES {
        let value = map.lookup(&key.to_ne_bytes())?.unwrap_or_default();
        if value.iter().any(|byte| *byte != 0) {
            found.push(value.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    Ok(found)
}
