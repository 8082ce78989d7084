//! A file of tests, opened: its program is compiled, its tests are known, and can be run.

mod programs;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep::Object;
use skep_build::{Build, Language};

use crate::{
    Error, Report, RunOptions,
    definition::{Definition, is_default},
    packet,
    run::Prepared,
    runner,
    source::{FileError, Parsed, Source},
    value::{Kind, Value, parse},
};

/// The end of a test file's name.
const ENDING: &str = ".test.toml";

/// What only a file as a whole says.
const FILE: [&str; 6] = [
    "source",
    "include",
    "define",
    "features",
    "default_features",
    "test",
];

/// The tests of a file.
///
/// ```no_run
/// use skep_test::{RunOptions, Suite};
///
/// let suite = Suite::open("fw.test.toml")?;
/// let report = suite.run(&RunOptions::default());
/// print!("{report}");
/// assert!(report.passed());
/// # Ok::<(), skep_test::Error>(())
/// ```
#[derive(Debug)]
pub struct Suite {
    path: PathBuf,
    program: Option<PathBuf>,
    object_path: PathBuf,
    warnings: String,
    prepared: Arc<Prepared>,
    tests: Vec<Definition>,
}

impl Suite {
    /// Opens a test file: reads it, and compiles or opens the program that it is about. That is
    /// what `source` names, or else the source or object beside the file that has its name:
    /// `fw.bpf.c`, `fw.c`, `fw.bpf.rs`, `fw.rs`, `fw.bpf.o` or `fw.o` of `fw.test.toml`, the first
    /// that is there; or the cargo package there.
    ///
    /// # Errors
    /// The file can't be read, says what can't be, or its program does not compile.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::parse(path, &read(path)?)
    }

    /// The same about this program: a source, a cargo package, or an object.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, program: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = File::parse(path, &read(path)?)?;
        file.with(program.as_ref(), true)
    }

    /// Opens a test file with each program that it is about: those that `source` names, or the C
    /// source and the one in Rust beside it; an object where there is no source. A program can be
    /// given, too, and is tested by the file that stands beside it.
    ///
    /// # Errors
    /// As [`open`](Self::open), where it concerns all; what concerns a program is in its place.
    pub fn open_all(path: impl AsRef<Path>) -> Result<Vec<Result<Self, Error>>, Error> {
        let path = path.as_ref();
        if let Some(tests) = programs::tests_of(path)? {
            return Ok(vec![Self::open_with(tests, path)]);
        }
        let file = File::parse(path, &read(path)?)?;
        let programs = file.programs()?;
        let several = programs.len() > 1;
        let opened = programs.iter().map(|program| file.with(program, several));
        Ok(opened.collect())
    }

    /// What [`open`](Self::open) does, of a text that is there already; `path` is where it would
    /// stand.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, Error> {
        let file = File::parse(path.as_ref(), text)?;
        let programs = file.programs()?;
        // There is one at least.
        let program = programs.first().map(PathBuf::as_path);
        file.with(program.unwrap_or(Path::new("")), false)
    }

    /// The names of a text's tests, if the text is right as far as that can be said without the
    /// program: for who edits one. `path` is where it stands.
    ///
    /// # Errors
    /// The text says what can't be.
    pub fn check(path: impl AsRef<Path>, text: &str) -> Result<Vec<String>, FileError> {
        let path = path.as_ref();
        let source = Arc::new(Source {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let tests = definitions(&parse(&source)?)?;
        let folder = path.parent().unwrap_or(path);
        for step in tests.iter().flat_map(|test| &test.steps) {
            if let Some(value) = &step.packet {
                let given = packet::packet(value, folder)?;
                // What is expected of a packet needs no program either.
                if let Some(expected) = step.expect.of("packet") {
                    packet::compare(expected, &given, &given, folder, &mut Vec::new())?;
                }
            }
        }
        Ok(tests.into_iter().map(|test| test.name).collect())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program, where it is one of several that the file is about, or was named.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The object that its tests load: of a C source, in the compiler's cache.
    #[must_use]
    pub fn object_path(&self) -> &Path {
        &self.object_path
    }

    /// What the compiler had to say.
    #[must_use]
    pub fn warnings(&self) -> &str {
        &self.warnings
    }

    /// The names of its tests, in their order.
    pub fn tests(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tests.iter().map(|test| test.name.as_str())
    }

    /// Runs its tests, several at once where each has a machine of its own. No failure is an
    /// error: the report has them.
    #[must_use]
    pub fn run(&self, options: &RunOptions) -> Report {
        let mut report = runner::run(&self.path, &self.prepared, &self.tests, options);
        report.program.clone_from(&self.program);
        report
    }
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// A test file that was read.
struct File {
    path: PathBuf,
    folder: PathBuf,
    value: Value,
    tests: Vec<Definition>,
}

impl File {
    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let source = Arc::new(Source {
            path: path.to_owned(),
            text: text.to_owned(),
        });
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let value = parse(&source)?;
        Ok(Self {
            path: path.to_owned(),
            folder,
            tests: definitions(&value)?,
            value,
        })
    }

    fn programs(&self) -> Parsed<Vec<PathBuf>> {
        programs::programs(&self.value, &self.path, &self.folder)
    }

    /// The suite about a program; `named`: which one it is must be said.
    fn with(&self, program: &Path, named: bool) -> Result<Suite, Error> {
        let (object, object_path, warnings) = object(program, &self.value, &self.folder)?;
        let prepared = Prepared::new(object.spec().clone(), &self.folder);
        Ok(Suite {
            path: self.path.clone(),
            program: named.then(|| program.to_owned()),
            object_path,
            warnings,
            prepared: Arc::new(prepared),
            tests: self.tests.clone(),
        })
    }
}

/// The tests of a file, with what it says for all of them.
fn definitions(file: &Value) -> Parsed<Vec<Definition>> {
    let entries = file.entries("a table")?;
    for entry in entries {
        let name = entry.name.as_str();
        if !FILE.contains(&name) && !is_default(name) {
            let known = FILE
                .iter()
                .copied()
                .chain(["program", "maps", "globals", "task", "kconfig"]);
            return Err(FileError::unknown(
                entry.place.clone(),
                "part of a test file",
                name,
                known,
            ));
        }
    }
    let defaults = file.without(&FILE);
    let Some(tests) = file.get("test") else {
        let error = file.error("this file has no tests");
        return Err(error.help("each begins with [[test]]"));
    };
    let mut all: Vec<Definition> = Vec::new();
    for test in tests.array("an array of tables: each test begins with [[test]]")? {
        test.entries("a table")?;
        for definition in Definition::parse(&defaults.overlaid(test))? {
            if all.iter().any(|known| known.name == definition.name) {
                let what = format!("a test named {:?} is there already", definition.name);
                return Err(FileError::new(definition.place, what));
            }
            all.push(definition);
        }
    }
    Ok(all)
}

/// Compiles a source, or opens an object.
fn object(program: &Path, file: &Value, folder: &Path) -> Result<(Object, PathBuf, String), Error> {
    let words = |name: &str| -> Parsed<Vec<String>> {
        match file.get(name) {
            Some(words) => {
                let words = words.array("an array of texts")?.iter();
                words
                    .map(|word| word.text("a text").map(str::to_owned))
                    .collect()
            }
            None => Ok(Vec::new()),
        }
    };
    let (include, define) = (words("include")?, words("define")?);
    let features = words("features")?;
    let default_features = match file.get("default_features") {
        Some(said) => match said.kind {
            Kind::Bool(said) => said,
            _ => return Err(said.wanted("true or false").into()),
        },
        None => true,
    };
    let is_source = Language::of_source(program).is_some();
    // What was built stays until it is read: where nothing can be kept, it goes with this.
    let built = match is_source {
        true => {
            let mut build = Build::new(program);
            for name in include {
                build = build.include(folder.join(name));
            }
            for name in define {
                build = build.define(name);
            }
            for name in features {
                build = build.feature(name);
            }
            build = build.default_features(default_features);
            let built = build.cached().map_err(|source| Error::Build {
                path: program.to_owned(),
                source: Box::new(source),
            })?;
            Some(built)
        }
        false => None,
    };
    let path = built
        .as_ref()
        .map_or_else(|| program.to_owned(), |built| built.object.clone());
    let failed = |source: skep::Error| Error::Object {
        path: path.clone(),
        source: Box::new(source),
    };
    let bytes = fs::read(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    // Maps of global data are named after the program, not after the compiler's cache.
    let name = built.as_ref().map_or_else(
        || {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            name.split('.').next().unwrap_or_default().to_owned()
        },
        |built| built.name.clone(),
    );
    let object = Object::parse(&name, &bytes).map_err(failed)?;
    let warnings = built.map_or_else(String::new, |built| built.warnings.clone());
    Ok((object, path, warnings))
}

/// The test files below some files and folders: those that are files themselves, and of folders all
/// whose names end with `.test.toml`, sorted; hidden folders and those of builds (`target`) are
/// left out.
///
/// # Errors
/// A folder can't be read.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => walk(path, &mut found)?,
            false => found.push(path.clone()),
        }
    }
    found.dedup();
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // What a link leads to is found where it is.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !name.starts_with('.') && name != "target" {
            walk(&entry.path(), found)?;
        } else if kind.is_file() && name.ends_with(ENDING) {
            // Below the current folder, names are as short as they are typed.
            let path = entry.path();
            found.push(path.strip_prefix(".").map_or(path.clone(), Path::to_owned));
        }
    }
    Ok(())
}
