//! A case: a source in `c/`, the files it is linked with, and its runs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use skep::{
    Host, Object,
    boundary::TestRun,
    spec::StaticLinker,
    vm::{Config, Vm},
};
use skep_build::Clang;
use skep_test::coverage::{Report, Tally};
use skep_testing::{Outcome, Stop};

/// The cases' names.
pub(crate) const ALL: [&str; 9] = [
    "calls", "choices", "early", "inlined", "linked", "logic", "loops", "macros", "packet",
];

pub(crate) struct Case {
    /// Its files, the first with the program.
    pub(crate) sources: Vec<PathBuf>,
    /// The words of each run's context.
    pub(crate) runs: Vec<Vec<u32>>,
    /// Lines of the first source that the compiler moves behind a condition.
    pub(crate) moved: Vec<(usize, u32)>,
    texts: Vec<String>,
    pub(crate) object: Object,
    bytes: Vec<u8>,
}

/// The version of clang that the goldens are of.
pub(crate) const CLANG: u32 = 14;

/// The version of clang that is here.
pub(crate) fn clang() -> Outcome<u32> {
    match Clang::find(&skep_testing::cache(env!("CARGO_TARGET_TMPDIR"))?) {
        Ok(clang) => Ok(clang.version().major),
        Err(error) => Err(Stop::lacks(format!("what compiles: {error}"))),
    }
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coverage/c")
}

impl Case {
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let source = folder().join(name).with_extension("c");
        let text = fs::read_to_string(&source)?;
        let told = |what: &str| {
            let all = text.lines().filter_map(|line| line.strip_prefix("// "));
            let all = all
                .filter_map(|line| line.strip_prefix(what))
                .map(str::trim);
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut sources = vec![source];
        sources.extend(told("with:").iter().map(|other| folder().join(other)));
        let moved = told("moved:")
            .into_iter()
            .map(|line| Ok((0, line.parse()?)));
        let moved = moved.collect::<Outcome<_>>()?;
        let texts = sources.iter().map(fs::read_to_string);
        let texts = texts.collect::<Result<_, _>>()?;
        let word = |word: &str| match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => word.parse(),
        };
        let runs = told("run:").into_iter().map(|run| {
            let words = run.split_whitespace().map(word);
            words.collect::<Result<Vec<_>, _>>()
        });
        let runs = runs.collect::<Result<_, _>>()?;
        let mut objects = Vec::new();
        for source in &sources {
            objects.push(skep_testing::compile(source, env!("CARGO_TARGET_TMPDIR"))?);
        }
        let bytes = match objects.as_slice() {
            [one] => one.clone(),
            several => {
                let mut linker = StaticLinker::new();
                for (source, bytes) in sources.iter().zip(several) {
                    linker.add(source.display().to_string(), bytes)?;
                }
                linker.finish()?
            }
        };
        let object = Object::parse(name, &bytes)?;
        Ok(Self {
            sources,
            runs,
            moved,
            texts,
            object,
            bytes,
        })
    }

    /// The same object under another name.
    pub(crate) fn renamed(mut self, name: &str) -> Outcome<Self> {
        self.object = Object::parse(name, &self.bytes)?;
        Ok(self)
    }

    /// The text of a source.
    pub(crate) fn text(&self, source: usize) -> &str {
        self.texts.get(source).map_or("", String::as_str)
    }

    /// Whether a line is a brace alone. Of the last one of a function, clang says that it ran if
    /// its end was reached and not by a `return`; here it is where the function is left.
    pub(crate) fn is_brace(&self, source: usize, line: u32) -> bool {
        let line = self.text(source).lines().nth(line as usize - 1);
        line.is_some_and(|line| line.trim() == "}")
    }

    /// Adds what these runs, on a machine of their own, are counted as.
    pub(crate) fn count(&self, tally: &mut Tally, runs: &[Vec<u32>]) -> Outcome {
        let mut config = Config::checked();
        config.coverage = true;
        config.cpus = 1;
        let vm = Vm::with(config).map_err(|errno| Stop::fail(errno.to_string()))?;
        let loaded = self.object.load(&Host::of_vm(vm))?;
        for words in runs {
            let mut context = vec![0; 32];
            for (place, word) in context.chunks_mut(4).zip(words) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            let mut out = context.clone();
            let mut run = TestRun {
                context_in: &context,
                context_out: &mut out,
                ..TestRun::default()
            };
            loaded.program("test")?.test_run(&mut run)?;
        }
        tally.add(self.object.spec(), &loaded)?;
        Ok(())
    }

    /// The report of some runs.
    pub(crate) fn report(&self, runs: &[Vec<u32>]) -> Outcome<Report> {
        let mut tally = Tally::default();
        self.count(&mut tally, runs)?;
        Ok(tally.report())
    }

    /// How often each line of each source ran.
    pub(crate) fn lines(&self, report: &Report) -> BTreeMap<(usize, u32), u64> {
        let mut lines = BTreeMap::new();
        for (index, source) in self.sources.iter().enumerate() {
            let file = report.file(source);
            for (line, count) in file.iter().flat_map(|file| &file.lines) {
                lines.insert((index, *line), *count);
            }
        }
        lines
    }
}

/// Runs a test, and says so if it can't run here.
pub(crate) fn run(name: &str, test: impl FnOnce() -> Outcome) {
    match test() {
        Ok(()) => {}
        Err(Stop::Skip(lacking)) => skep_testing::lacks(format_args!("{name}: {lacking:?}")),
        Err(Stop::Fail(why)) => panic!("{name}: {why}"),
    }
}
