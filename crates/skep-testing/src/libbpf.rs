//! libbpf as an oracle: what it makes of an object on this machine, in the same words as what we
//! make of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use skep_host::MapInfo;
use skep_object::{Image, Object};

use crate::{Outcome, Stop};

/// A program that shows what libbpf makes of objects.
#[derive(Debug)]
pub struct Libbpf {
    driver: PathBuf,
}

impl Libbpf {
    /// Builds it in `folder`.
    ///
    /// # Errors
    /// Skips for want of libbpf's headers or of a C compiler.
    pub fn build(folder: &Path) -> Outcome<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/libbpf_view.c");
        let driver = folder.join("libbpf_view");
        let built = Command::new("cc")
            .arg("-o")
            .args([&driver, &source])
            .arg("-lbpf")
            .output();
        match built {
            Ok(run) if run.status.success() => Ok(Self { driver }),
            _ => Err(Stop::lacks("a C compiler, or libbpf-dev")),
        }
    }

    /// Opens and loads an object.
    ///
    /// # Errors
    /// libbpf can't open it.
    pub fn load(&self, object: &Path) -> Outcome<View> {
        let run = Command::new(&self.driver).arg(object).output()?;
        let words = String::from_utf8_lossy(&run.stderr).trim().to_owned();
        if !run.status.success() {
            let path = object.display();
            return Err(Stop::fail(format!("libbpf can't open {path}: {words}")));
        }
        Ok(View::read(&String::from_utf8_lossy(&run.stdout), words))
    }

    /// The same, relocated by the types in a file of BTF instead of the kernel's.
    ///
    /// # Errors
    /// libbpf can't open it.
    pub fn load_by(&self, object: &Path, btf: &Path) -> Outcome<View> {
        let run = Command::new(&self.driver)
            .arg("core")
            .args([btf, object])
            .output()?;
        let words = String::from_utf8_lossy(&run.stderr).trim().to_owned();
        if !run.status.success() {
            let path = object.display();
            return Err(Stop::fail(format!("libbpf can't open {path}: {words}")));
        }
        Ok(View::read(&String::from_utf8_lossy(&run.stdout), words))
    }

    /// Loads an object, attaches a program to a static probe point of a binary, and answers what
    /// is in the map of arguments then: the entries that are not empty, as hexadecimal digits.
    ///
    /// # Errors
    /// libbpf can't do it.
    pub fn usdt(
        &self,
        object: &Path,
        program: &str,
        binary: &Path,
        provider: &str,
        name: &str,
    ) -> Outcome<Vec<String>> {
        let run = Command::new(&self.driver)
            .arg("usdt")
            .arg(object)
            .arg(program)
            .arg(binary)
            .args([provider, name])
            .output()?;
        if !run.status.success() {
            let words = String::from_utf8_lossy(&run.stderr);
            return Err(Stop::fail(format!("libbpf: {provider}:{name}: {words}")));
        }
        let lines = String::from_utf8_lossy(&run.stdout);
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// Loads BTF as it is; `Err` holds the kernel's log.
    ///
    /// # Errors
    /// The driver can't be run.
    pub fn load_btf(&self, folder: &Path, bytes: &[u8]) -> Outcome<Result<(), String>> {
        let path = folder.join("image.btf");
        fs::write(&path, bytes)?;
        let run = Command::new(&self.driver).arg("btf").arg(&path).output()?;
        Ok(if run.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&run.stderr).into_owned())
        })
    }
}

/// What someone made of an object, one line of text for each thing.
#[derive(Debug, Default)]
pub struct View {
    /// Whether all was loaded: libbpf's words if it was not. An image has no verdict yet.
    pub refusal: Option<String>,
    /// Programs by name.
    pub programs: BTreeMap<String, ProgramView>,
    /// Maps by name: type, sizes and flags.
    pub maps: BTreeMap<String, String>,
}

/// A program as someone sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProgramView {
    /// The numbers of its type and of its attach type.
    pub types: String,
    /// Its instructions; empty if it is not to be loaded.
    pub instructions: Vec<String>,
}

impl View {
    /// What we make of an object, as far as its Spec says it.
    pub fn of_object(object: &Object) -> Self {
        let programs = object.programs().iter().map(|program| {
            let attach = program.attach_type().map_or(0, |attach| attach.raw());
            let types = format!("type {} attach {attach}", program.program_type().raw());
            let view = ProgramView {
                types,
                instructions: Vec::new(),
            };
            (program.name.clone(), view)
        });
        Self {
            programs: programs.collect(),
            ..Self::default()
        }
    }

    /// What we make of an object for a target. Descriptors are 0 in an image anyway. `cpus` is
    /// what stands for the entries that an image leaves to its host.
    pub fn of(object: &Object, image: &Image, cpus: usize) -> Self {
        let mut view = Self::of_object(object);
        for program in &image.programs {
            let Some(own) = view.programs.get_mut(&program.name) else {
                continue;
            };
            let instructions = program.instructions.iter().map(|insn| {
                let (dst, src) = (insn.dst, insn.src);
                let (opcode, offset, imm) = (insn.opcode, insn.offset, insn.imm);
                format!("{opcode:02x} {dst:x} {src:x} {offset} {imm}")
            });
            own.instructions = instructions.collect();
        }
        let maps = image.maps.iter().map(|map| {
            let kind = map.map_type;
            let entries = match (kind, map.max_entries) {
                (skep_abi::MapType::PerfEventArray, 0) => cpus as u32,
                (_, entries) => entries,
            };
            let info = MapInfo {
                type_raw: kind.raw(),
                key_size: map.key_size,
                value_size: map.value_size,
                max_entries: entries,
                flags: map.flags.bits(),
                map_extra: map.map_extra,
                ..MapInfo::default()
            };
            (map.name.clone(), Self::map(&info))
        });
        view.maps = maps.collect();
        view
    }

    /// A map, as a host tells it.
    pub fn map(info: &MapInfo) -> String {
        let flags = match info.flags {
            0 => "0".to_owned(),
            flags => format!("{flags:#x}"),
        };
        format!(
            "type {} key {} value {} entries {} flags {flags} extra {}",
            info.type_raw, info.key_size, info.value_size, info.max_entries, info.map_extra
        )
    }

    fn read(text: &str, words: String) -> Self {
        let mut view = Self::default();
        let mut last = None;
        for line in text.lines() {
            if line == "refused" {
                view.refusal = Some(words.clone());
            } else if let Some((name, types)) = named("program ", line) {
                last = Some(name.to_owned());
                let program = view.programs.entry(name.to_owned()).or_default();
                program.types = types.to_owned();
            } else if let Some((name, map)) = named("map ", line) {
                view.maps.insert(name.to_owned(), map.to_owned());
            } else if let Some(program) = last.as_ref().and_then(|name| view.programs.get_mut(name))
            {
                program.instructions.push(line.to_owned());
            }
        }
        view
    }

    /// Where we (`self`) and libbpf differ, a line each, beginning with the name of the program
    /// or map.
    pub fn differences(&self, theirs: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let ours = self;
        for name in keys(&ours.maps, &theirs.maps) {
            let pair = (ours.maps.get(name), theirs.maps.get(name));
            if pair.0 != pair.1 {
                let (ours, theirs) = (shown(pair.0), shown(pair.1));
                found.push(format!("{name}: map {ours}, libbpf: {theirs}"));
            }
        }
        for name in keys(&ours.programs, &theirs.programs) {
            let (Some(ours), Some(theirs)) = (ours.programs.get(name), theirs.programs.get(name))
            else {
                found.push(format!("{name}: a program for one of us only"));
                continue;
            };
            if ours.types != theirs.types {
                let (ours, theirs) = (&ours.types, &theirs.types);
                found.push(format!("{name}: {ours}, libbpf: {theirs}"));
            }
            let (ours, theirs) = (&ours.instructions, &theirs.instructions);
            if ours.len() != theirs.len() {
                let (ours, theirs) = (ours.len(), theirs.len());
                found.push(format!("{name}: {ours} instructions, libbpf: {theirs}"));
            }
            for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                if marked(ours) != marked(theirs) {
                    found.push(format!("{name}: at {at} {ours}, libbpf: {theirs}"));
                }
            }
        }
        found
    }
}

fn keys<'m, V>(
    ours: &'m BTreeMap<String, V>,
    theirs: &'m BTreeMap<String, V>,
) -> std::collections::BTreeSet<&'m String> {
    ours.keys().chain(theirs.keys()).collect()
}

fn shown(map: Option<&String>) -> &str {
    map.map_or("none", String::as_str)
}

/// `map NAME the rest`
fn named<'l>(word: &str, line: &'l str) -> Option<(&'l str, &'l str)> {
    line.strip_prefix(word)?.split_once(" type ").map(|_| {
        let rest = &line[word.len()..];
        rest.split_once(' ').unwrap_or((rest, ""))
    })
}

/// A call of a weak function that is not there: a helper of a number that none has, or, as libbpf
/// before 1.2 has it, a kernel function without an id.
fn marked(line: &str) -> &str {
    let missing = line
        .strip_prefix("85 0 0 0 ")
        .and_then(|imm| imm.parse::<u32>().ok());
    let missing = missing.is_some_and(|imm| (2_002_000_000..2_003_000_000).contains(&imm));
    if missing || line == "85 0 2 0 0" {
        "a call of what is missing"
    } else {
        line
    }
}
