//! `cargo xtask generate vm-btf`: the virtual machine's own BTF, made by a C compiler from
//! `crates/skep-vm/data/vm.c` and put into an order that does not depend on the compiler.

mod order;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection};
use skep_btf::{Btf, dedup};

use crate::Result;

/// The oldest clang that writes tags of functions.
const OLDEST: u32 = 14;

/// Enumerations that are taken from skep-abi's tables.
const ENUMERATIONS: [&str; 4] = [
    "bpf_map_type",
    "bpf_prog_type",
    "bpf_attach_type",
    "bpf_link_type",
];

/// Writes the file that is committed.
pub(super) fn write() -> Result<()> {
    let bytes = make(&clang()?)?;
    let path = committed();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&path, &bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("wrote {} ({} bytes)", path.display(), bytes.len());
    Ok(())
}

/// Compares the file that is committed with what the compiler at hand gives.
pub(super) fn check() -> Result<()> {
    let clang = match clang() {
        Ok(clang) => clang,
        Err(why) => {
            println!("generate --check: vm.btf skipped: {why}");
            return Ok(());
        }
    };
    let path = committed();
    let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if bytes != make(&clang)? {
        return Err(format!(
            "{} is not what vm.c gives; run `cargo xtask generate vm-btf`",
            path.display()
        )
        .into());
    }
    println!("generate --check: vm.btf is current, by {clang}");
    Ok(())
}

fn crate_folder() -> PathBuf {
    crate::root().join("crates/skep-vm")
}

fn committed() -> PathBuf {
    crate_folder().join("src/generated/vm.btf")
}

/// `$CLANG`, or the one on the path, if it is new enough.
fn clang() -> Result<String> {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    let output = Command::new(&clang)
        .arg("--version")
        .output()
        .map_err(|e| format!("{clang}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let major = text
        .split_once("clang version ")
        .and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST => Ok(clang),
        _ => Err(format!("{clang} is not clang {OLDEST} or newer").into()),
    }
}

/// Compiles, and gives the types in order.
fn make(clang: &str) -> Result<Vec<u8>> {
    let folder = crate::root().join("target/xtask/vm-btf");
    fs::create_dir_all(&folder)?;
    let abi = crate::root().join("crates/skep-abi/src/generated/enums.rs");
    fs::write(
        folder.join("enums.h"),
        enumerations(&super::read(&abi)?, &ENUMERATIONS)?,
    )?;
    let compiled = folder.join("vm.o");
    compile(clang, &folder, &compiled)?;
    let elf = fs::read(&compiled)?;
    let elf = object::File::parse(&*elf)?;
    let section = elf
        .section_by_name(".BTF")
        .ok_or("the compiler wrote no .BTF")?;
    let btf = Btf::parse(section.data()?.to_vec())?;
    order::in_order(&dedup(&btf)?.btf)
}

fn compile(clang: &str, include: &Path, compiled: &Path) -> Result<()> {
    let source = crate_folder().join("data/vm.c");
    let status = Command::new(clang)
        .args(["-target", "bpf", "-g", "-O2", "-Wall", "-Werror"])
        .arg("-I")
        .arg(include)
        .arg("-c")
        .arg(&source)
        .arg("-o")
        .arg(compiled)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{clang} does not compile {}", source.display()).into())
    }
}

/// Enumerations of skep-abi's generated code as C. The code is read as text, not used as a crate:
/// the generator must build when what it generated does not.
fn enumerations(code: &str, wanted: &[&str]) -> Result<String> {
    let mut c = String::new();
    for name in wanted {
        let start = format!("#[doc(alias = \"{name}\")]");
        let (_, body) = code
            .split_once(&start)
            .ok_or_else(|| format!("skep-abi has no `enum {name}`"))?;
        let (body, _) = body.split_once("\n    }\n").ok_or("an enum has no end")?;
        writeln!(c, "enum {name} {{")?;
        for line in body.lines() {
            // `Hash = 1, (3, 19), "BPF_MAP_TYPE_HASH" | "hash" [];`
            let line = line.trim_start();
            let Some((_, rest)) = line.split_once(" = ").filter(|_| !line.starts_with('/')) else {
                continue;
            };
            let (value, rest) = rest.split_once(", ").ok_or("a value has no version")?;
            let kernel_name = rest.split('"').nth(1).ok_or("a value has no name")?;
            writeln!(c, "\t{kernel_name} = {value},")?;
        }
        writeln!(c, "}};")?;
    }
    Ok(c)
}

#[cfg(test)]
mod tests {
    use super::enumerations;

    #[test]
    fn enumerations_become_c() {
        let code = r#"
    #[doc(alias = "bpf_fruit")]
    pub enum Fruit: u32 {
        /// Round = red.
        Apple = 3, (4, 1), "BPF_APPLE" | "apple" [];
    }
"#;
        let c = enumerations(code, &["bpf_fruit"]).unwrap();
        assert_eq!(c, "enum bpf_fruit {\n\tBPF_APPLE = 3,\n};\n");
        assert!(enumerations(code, &["bpf_stone"]).is_err());
    }
}
