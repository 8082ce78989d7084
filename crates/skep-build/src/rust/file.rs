//! A program in a file: rustc's command line, and what comes of it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use super::{library::Library, sysroot::ATTRIBUTE, tools::Tools};
use crate::{
    Build, Cache, Error, Result,
    build::{Compiled, as_file},
    cache::Fingerprint,
    depfile,
};

/// A build made ready: core and the library are compiled.
pub(crate) struct Job<'a> {
    tools: Tools<'a>,
    library: Library,
    /// Of the source, as it will be in the crate's name and the object's.
    name: String,
    /// The attributes of the crate that the source does not have.
    attributes: Vec<&'static str>,
}

impl<'a> Job<'a> {
    pub(crate) fn prepare(build: &'a Build, cache: Cache) -> Result<Self> {
        let text = fs::read(&build.source).map_err(|error| Error::Source {
            path: build.source.clone(),
            error,
        })?;
        let text = String::from_utf8_lossy(&text);
        let tools = Tools::prepare(build, cache)?;
        let library = Library::of(&tools.rustc, &tools.sysroot, &tools.cache)?;
        let missing = |attribute: &&str| !has_attribute(&text, attribute);
        Ok(Self {
            tools,
            library,
            name: crate_name(&build.source),
            attributes: ["no_std", "no_main"].into_iter().filter(missing).collect(),
        })
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.tools.cache
    }

    /// Everything that decides the object but for the files' contents.
    pub(crate) fn key(&self) -> Result<Fingerprint> {
        let mut key = Fingerprint::new("rust object");
        // Lines of source have the current folder in their names.
        key.add(std::env::current_dir().ok());
        key.add(&self.tools.build.source);
        let command = self.command();
        key.add(command.get_program());
        command.get_args().for_each(|argument| key.add(argument));
        Ok(key)
    }

    /// The program, and what it is told.
    pub(crate) fn command_line(&self, object: &Path) -> Vec<OsString> {
        let command = self.command();
        let words = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(OsStr::to_owned);
        let mut emit = OsString::from("--emit=link,obj=");
        emit.push(object);
        let output = [emit];
        words.chain(output).collect()
    }

    /// All but what is to be written, and where.
    fn command(&self) -> Command {
        let build = self.tools.build;
        let mut command = self.tools.rustc.command();
        self.tools.sysroot.flags(&mut command);
        self.library.flags(&mut command);
        command
            .args(["--crate-type", "cdylib", "-Clto=fat"])
            .args(["-Clinker=true", "--crate-name", &self.name])
            .args(["--color", build.color_word(), ATTRIBUTE]);
        for attribute in &self.attributes {
            command.arg(format!("-Zcrate-attr={attribute}"));
        }
        command.args(self.tools.defines());
        let is_edition = |argument: &OsString| {
            let argument = argument.as_encoded_bytes();
            argument.starts_with(b"--edition")
        };
        if !build.arguments.iter().any(is_edition) {
            command.args(["--edition", "2024"]);
        }
        command.args(&build.arguments).arg(as_file(&build.source));
        command
    }

    pub(crate) fn compile(&self, object: &Path) -> Result<Compiled> {
        let folder = tempfile::Builder::new()
            .prefix("skep-")
            .tempdir()
            .map_err(Error::write(std::env::temp_dir()))?;
        let mut command = self.command();
        command
            // Only where there is something to link are other crates' functions and variables taken
            // into the object; the linker, `true`, has nothing to do.
            .args(["--emit=obj,link,dep-info", "--out-dir"])
            .arg(folder.path());
        let rustc = &self.tools.rustc;
        let output = command.output().map_err(|error| Error::Run {
            path: rustc.path().to_owned(),
            error,
        })?;
        let mut said = self.tools.explained(&output.stderr);
        if !output.status.success() {
            if said.is_empty() {
                let rustc = rustc.path().display();
                said = format!("{rustc} ended with {}", output.status);
            }
            return Err(self.tools.refused(said));
        }
        let made = folder.path().join(&self.name);
        let read = |path: PathBuf| fs::read(&path).map_err(|error| Error::Source { path, error });
        let bytes = read(made.with_extension("o"))?;
        let rules = depfile::of_rustc(&read(made.with_extension("d"))?);
        Ok(Compiled {
            warnings: self.tools.finish(&bytes, &rules.files, said, object)?,
            dependencies: rules.files,
            keep: !rules.asks_environment,
        })
    }
}

/// The source's name up to its first dot, as a crate may be called.
fn crate_name(source: &Path) -> String {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty());
    let mut name: String = stem
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert_str(0, "p_");
    }
    name
}

/// Whether the source says so of its crate. One in a comment of its own is none.
fn has_attribute(text: &str, attribute: &str) -> bool {
    let inner = text
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("#!["));
    let mut words = inner.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|word| word == attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_called_after_files() {
        let of = |name: &str| crate_name(Path::new(name));
        assert_eq!(of("src/opensnoop.bpf.rs"), "opensnoop");
        assert_eq!(of("tcp-top.rs"), "tcp_top");
        assert_eq!(of("1.rs"), "p_1");
        assert_eq!(of(".rs"), "rs");
    }

    #[test]
    fn attributes_that_are_there() {
        let text = "//! Text.\n#![no_std]\n// #![no_main]\n#![cfg_attr(x, feature(y))]\n";
        assert!(has_attribute(text, "no_std") && has_attribute(text, "feature"));
        assert!(!has_attribute(text, "no_main"));
    }
}
