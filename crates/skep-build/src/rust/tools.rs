//! What files and packages have in common: the compiler with core for BPF, and what comes after it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    CoreSource, Rustc, finish, limits,
    message::{Level, Message},
    sysroot::Sysroot,
};
use crate::{Build, Cache, Error, Result, hint};

/// A compiler, and core compiled by it for the build's target.
pub(super) struct Tools<'a> {
    pub(super) build: &'a Build,
    pub(super) cache: Arc<Cache>,
    pub(super) rustc: Rustc,
    pub(super) sysroot: Sysroot,
}

impl<'a> Tools<'a> {
    /// Finds the compiler and core's source, and compiles core if that was not done before.
    pub(super) fn prepare(build: &'a Build, cache: Cache) -> Result<Self> {
        let rustc = match &build.rustc {
            Some(rustc) => rustc.clone(),
            None => Rustc::find(&cache)?,
        };
        let source = match &build.core {
            Some(source) => source.clone(),
            None => CoreSource::find(&rustc)?,
        };
        let progress = |text: &str| {
            if let Some(tell) = build.progress {
                tell(text);
            }
        };
        let (endian, cpu) = (build.endian, build.cpu);
        let sysroot = Sysroot::of(&rustc, &source, endian, cpu, &cache, progress)?;
        Ok(Self {
            build,
            cache: Arc::new(cache),
            rustc,
            sysroot,
        })
    }

    /// What the compiler printed, with LLVM's part of it explained; first, if core will have to be
    /// compiled again by whoever comes next, that.
    pub(super) fn explained(&self, stderr: &[u8]) -> String {
        let colored = self.build.is_colored();
        let mut said = String::new();
        if let Some(why) = self.cache.tell_why_temporary() {
            let message = Message {
                level: Level::Warning,
                title: format!(
                    "core was compiled for BPF and can't be kept for the next time: {why}"
                ),
                place: None,
                function: String::new(),
                note: "",
                help: "name a folder that only you can write with XDG_CACHE_HOME",
            };
            said = message.shown(colored) + "\n";
        }
        said + &limits::explained(&String::from_utf8_lossy(stderr), colored)
    }

    /// The error of a source that is refused.
    pub(super) fn refused(&self, mut stderr: String) -> Error {
        stderr.truncate(stderr.trim_end_matches('\n').len());
        Error::Compile {
            source_file: self.build.source.clone(),
            hint: hint::for_missing_linker(&stderr),
            stderr,
        }
    }

    /// Finishes what the compiler made and writes it; gives what there is to say, all in all.
    /// `own` are the program's sources.
    pub(super) fn finish<'f>(
        &self,
        made: &[u8],
        own: impl IntoIterator<Item = &'f PathBuf>,
        mut said: String,
        object: &Path,
    ) -> Result<String> {
        let own = finish::Own::new(own);
        let finished = finish::finished(made, &own).map_err(|error| Error::Finish {
            source_file: self.build.source.clone(),
            error: Box::new(error),
        })?;
        let mut refused = false;
        for problem in &finished.problems {
            refused |= problem.level == Level::Error;
            said += &problem.shown(self.build.is_colored());
            said.push('\n');
        }
        if refused {
            return Err(self.refused(said));
        }
        fs::write(object, finished.object).map_err(Error::write(object))?;
        Ok(said)
    }

    /// The macros that are defined, as the compiler's arguments.
    pub(super) fn defines(&self) -> impl Iterator<Item = String> {
        let defines = self.build.defines.iter();
        defines.flat_map(|define| {
            let (name, value) = match define.split_once('=') {
                Some((name, value)) => (name, format!("{name}={value:?}")),
                None => (define.as_str(), define.clone()),
            };
            let known = format!("--check-cfg=cfg({name}, values(any()))");
            [format!("--cfg={value}"), known]
        })
    }
}
