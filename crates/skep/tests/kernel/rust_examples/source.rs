//! The examples as they stand in the library's documentation, and their objects.

use std::{
    fs, panic,
    path::{Path, PathBuf},
    thread,
};

use skep::abi::KernelVersion;
use skep_testing::{Outcome, ensure};

/// The library's source, which test kernels' machines have, too.
pub(super) fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../skep-ebpf/src")
}

/// The files of a folder and of those in it, sorted.
pub(super) fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// An example that is a program.
pub(super) struct Example {
    /// The file in the library, and the line where it begins.
    pub(super) file: String,
    line: usize,
    pub(super) text: String,
    /// The newest kernel that the documentation before it says is needed.
    pub(super) since: Option<KernelVersion>,
}

impl Example {
    /// All of them.
    pub(super) fn all() -> Outcome<Vec<Self>> {
        let library = library();
        let mut found = Vec::new();
        for path in files(&library)? {
            let text = fs::read_to_string(&path)?;
            let file = path.strip_prefix(&library)?.display().to_string();
            found.extend(Self::of(&file, &text));
        }
        ensure(found.len() > 50, || format!("{} examples", found.len()))?;
        Ok(found)
    }

    /// Those of a file.
    fn of(file: &str, text: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut open: Option<(bool, Self)> = None;
        let mut said = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            let documentation = ["/// ", "//! ", "///", "//!"]
                .iter()
                .find_map(|marker| line.strip_prefix(marker));
            let Some(line) = documentation else {
                (open, said) = (None, String::new());
                continue;
            };
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let is_rust = matches!(language, "" | "rust");
                    let example = Self {
                        file: file.to_owned(),
                        line: number,
                        text: String::new(),
                        since: version(&said),
                    };
                    open = Some((is_rust, example));
                }
                (Some(_), Some(_)) => {
                    let example = open.take().filter(|(is_rust, _)| *is_rust);
                    let example = example.map(|(_, example)| example);
                    found.extend(example.filter(Self::is_program));
                }
                (Some((_, example)), None) => {
                    example.text += line.strip_prefix("# ").unwrap_or(line);
                    example.text.push('\n');
                }
                (None, None) => {
                    said.push_str(line);
                    said.push(' ');
                }
            }
        }
        found
    }

    fn is_program(&self) -> bool {
        self.text.contains("#![no_main]")
    }

    /// `map_ring_22`: the source's name.
    pub(super) fn name(&self) -> String {
        let file = self.file.trim_end_matches(".rs").replace('/', "_");
        format!("{file}_{}", self.line)
    }

    pub(super) fn pins(&self) -> bool {
        self.text.contains("PinByName")
    }

    pub(super) fn failed(&self, what: &str) -> String {
        let Self { file, line, .. } = self;
        format!("crates/skep-ebpf/src/{file}:{line}: {what}")
    }

    /// Its object.
    pub(super) fn compile(&self) -> Outcome<Vec<u8>> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust_examples");
        fs::create_dir_all(&folder)?;
        let source = folder.join(format!("{}.rs", self.name()));
        fs::write(&source, &self.text)?;
        skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR"))
    }
}

/// All objects, made on all processors.
pub(super) fn compiled(examples: &[Example]) -> Outcome<Vec<Outcome<Vec<u8>>>> {
    // Core and the library are made with the first. Where they can't be, one failure is enough.
    for example in examples.iter().take(1) {
        example.compile()?;
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut made: Vec<(usize, Outcome<Vec<u8>>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let own = examples.iter().enumerate().skip(worker).step_by(workers);
                    own.map(|(index, example)| (index, example.compile()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|broken| panic::resume_unwind(broken))
            })
            .collect()
    });
    made.sort_by_key(|(index, _)| *index);
    Ok(made.into_iter().map(|(_, made)| made).collect())
}

/// The newest kernel that a text names, as `Linux 5.11`.
pub(super) fn version(text: &str) -> Option<KernelVersion> {
    let named = text.split("Linux ").skip(1);
    let versions = named.filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let version = rest.get(..end.unwrap_or(rest.len()))?;
        version.trim_end_matches('.').parse().ok()
    });
    versions.max()
}
