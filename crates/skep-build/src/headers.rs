//! The BPF-side headers, carried in the library and written to the cache for clang to include.

use std::path::PathBuf;

use skep_abi::Helper;

use crate::{
    Result,
    cache::{Cache, Fingerprint, write_if_changed},
};

/// The files as they are included, and their text. `bpf/bpf_helper_defs.h` is not among them: it
/// is rendered from the table of helpers.
const FILES: &[(&str, &str)] = &[
    ("skep.h", include_str!("../headers/skep.h")),
    (
        "skep/preprocessor.h",
        include_str!("../headers/skep/preprocessor.h"),
    ),
    (
        "bpf/bpf_core_read.h",
        include_str!("../headers/bpf/bpf_core_read.h"),
    ),
    (
        "bpf/bpf_endian.h",
        include_str!("../headers/bpf/bpf_endian.h"),
    ),
    (
        "bpf/bpf_helpers.h",
        include_str!("../headers/bpf/bpf_helpers.h"),
    ),
    (
        "bpf/bpf_tracing.h",
        include_str!("../headers/bpf/bpf_tracing.h"),
    ),
    ("bpf/usdt.bpf.h", include_str!("../headers/bpf/usdt.bpf.h")),
    ("gnu/stubs-32.h", include_str!("../headers/gnu/stubs-32.h")),
];

/// Writes the headers that are missing or differ and gives the folder to include from. Its name
/// has their fingerprint, so that other versions of Skep keep theirs.
pub(crate) fn install(cache: &Cache) -> Result<PathBuf> {
    let helpers = helper_declarations();
    let files = || {
        FILES
            .iter()
            .copied()
            .chain([("bpf/bpf_helper_defs.h", helpers.as_str())])
    };
    let mut fingerprint = Fingerprint::new("headers");
    files().for_each(|file| fingerprint.add(file));
    let folder = cache.folder(format!("include-{}", fingerprint.finish()))?;
    for (name, text) in files() {
        write_if_changed(&folder.join(name), text.as_bytes())?;
    }
    Ok(folder)
}

/// `bpf/bpf_helper_defs.h`: a declaration of every helper, and before them of every struct that
/// they mention, lest its scope be a parameter list.
fn helper_declarations() -> String {
    let declarations: Vec<_> = Helper::all()
        .iter()
        .map(|helper| helper.c_declaration().to_string())
        .collect();
    let mut structs: Vec<_> = declarations
        .iter()
        .flat_map(|text| structs_in(text))
        .collect();
    structs.sort_unstable();
    structs.dedup();
    let structs = structs
        .into_iter()
        .map(|name| format!("struct {name};\n"))
        .collect::<String>();
    format!(
        "/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n\
         /* The kernel's helpers, from Skep's table of them: made when needed, not by hand. */\n\
         #ifndef __BPF_HELPER_DEFS_H__\n#define __BPF_HELPER_DEFS_H__\n\n{structs}\n{}\n\n\
         #endif /* __BPF_HELPER_DEFS_H__ */\n",
        declarations.join("\n"),
    )
}

fn structs_in(declaration: &str) -> impl Iterator<Item = &str> {
    let words = || {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        declaration
            .split(move |c| !word(c))
            .filter(|word| !word.is_empty())
    };
    words()
        .zip(words().skip(1))
        .filter(|(word, _)| *word == "struct")
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_helper_is_declared_with_its_structs() {
        let text = helper_declarations();
        for line in [
            "struct xdp_md;",
            "struct __sk_buff;",
            "#ifndef __BPF_HELPER_DEFS_H__",
        ] {
            assert_eq!(
                text.lines().filter(|there| *there == line).count(),
                1,
                "{line}"
            );
        }
        for helper in Helper::all() {
            let end = format!(" = (void *) {};", helper.id);
            let of_name = format!("(* const {})(", helper.name);
            let one = |line: &&str| line.contains(&of_name) && line.ends_with(&end);
            assert_eq!(text.lines().filter(one).count(), 1, "{}", helper.name);
        }
    }

    #[test]
    fn installed_once_and_repaired() {
        let cache = Cache::temporary().unwrap();
        let folder = install(&cache).unwrap();
        let file = folder.join("bpf/bpf_helpers.h");
        let text = std::fs::read(&file).unwrap();
        std::fs::write(&file, "damaged").unwrap();
        assert_eq!(install(&cache).unwrap(), folder);
        assert_eq!(std::fs::read(&file).unwrap(), text);
    }
}
