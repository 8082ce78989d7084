//! What ran, by file: lines, branches, functions, summed over functions and objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use skep::{btf::StringOffset, spec::Object};

use super::{
    files,
    places::{self, Place, Test},
    tally::Counted,
};

/// What ran of the source of some objects. Prints as a summary, a line a file.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Report {
    /// By path.
    pub files: Vec<FileReport>,
    /// Objects that say nothing of their lines: compiled without `-g`, or stripped of BTF.
    pub without_lines: Vec<String>,
}

/// What ran of a file.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FileReport {
    /// Its path, as the compiler was given it, from its folder.
    pub path: PathBuf,
    /// How often each line ran that has instructions.
    pub lines: BTreeMap<u32, u64>,
    /// Its conditional jumps, by line and column.
    pub branches: Vec<Branch>,
    /// Its functions, by line.
    pub functions: Vec<FunctionReport>,
    /// The text of lines, as far as the objects have it.
    pub texts: BTreeMap<u32, String>,
}

/// A conditional jump in the source, with all its copies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Branch {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1; 0 where it is not known.
    pub column: u32,
    /// Its two ways: if what the jump asks is so, and if it is not.
    pub ways: [Way; 2],
}

impl Branch {
    /// Whether control ever came to it.
    pub fn ran(&self) -> bool {
        self.ways.iter().any(|way| way.taken > 0)
    }
}

/// One way that a conditional jump goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Way {
    /// When it is taken, where a value is compared with a constant, the same for all copies: if it
    /// is `0`, `other than 0`, `above 5`, `at most 5`.
    pub when: Option<String>,
    /// The line that it leads to: another one of the same file, the same for all copies.
    pub to: Option<u32>,
    /// How often it was taken.
    pub taken: u64,
}

/// A function that is left as such.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionReport {
    /// Its name.
    pub name: String,
    /// Its first line.
    pub line: u32,
    /// How often it was called.
    pub calls: u64,
}

impl FileReport {
    /// Lines that ran, of how many.
    pub fn lines_run(&self) -> (usize, usize) {
        let run = self.lines.values().filter(|count| **count > 0).count();
        (run, self.lines.len())
    }

    /// Ways of branches that were taken, of how many.
    pub fn branches_taken(&self) -> (usize, usize) {
        let ways = self.branches.iter().flat_map(|branch| &branch.ways);
        let taken = ways.filter(|way| way.taken > 0).count();
        (taken, self.branches.len() * 2)
    }

    /// Functions that were called, of how many.
    pub fn functions_called(&self) -> (usize, usize) {
        let called = self.functions.iter().filter(|function| function.calls > 0);
        (called.count(), self.functions.len())
    }
}

/// What copies of a jump share: its line, its column, its question.
type JumpKey = (u32, u32, Test);

/// A jump while its copies are summed.
#[derive(Default)]
struct Copies {
    /// Where the ways lead.
    to: [BTreeSet<(PathBuf, u32)>; 2],
    taken: [u64; 2],
    /// What they compare with.
    constants: BTreeSet<Option<i32>>,
}

impl Copies {
    /// What they all compare with, if that is one constant.
    fn constant(&self) -> Option<i32> {
        let first = self.constants.first().copied().flatten();
        first.filter(|_| self.constants.len() == 1)
    }
}

/// A file while it is summed.
#[derive(Default)]
struct File {
    lines: BTreeMap<u32, u64>,
    jumps: BTreeMap<JumpKey, Copies>,
    functions: BTreeMap<(u32, String), u64>,
    texts: BTreeMap<u32, String>,
}

pub(super) fn of(all: &[&Counted]) -> Report {
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    let mut without_lines = Vec::new();
    for counted in all {
        if !add(&mut files, counted) {
            without_lines.push(counted.object.name().to_owned());
        }
    }
    without_lines.dedup();
    Report {
        files: files
            .into_iter()
            .filter(|(path, _)| !files::is_library(path))
            .map(|(path, file)| file.finish(path))
            .collect(),
        without_lines,
    }
}

/// Adds an object; false if it has no lines.
fn add(files: &mut BTreeMap<PathBuf, File>, counted: &Counted) -> bool {
    let mut sources = Sources {
        object: &counted.object,
        paths: BTreeMap::new(),
    };
    let mut any = false;
    for (function, hits) in counted.object.functions().iter().zip(&counted.functions) {
        let steps = places::steps(function);
        let mut lines: BTreeMap<(u32, u32), (Place, u64)> = BTreeMap::new();
        for step in &steps {
            let Some(place) = step.place else { continue };
            let hits = hits.get(step.at.as_usize()).copied().unwrap_or_default();
            let line = lines.entry((place.file, place.line)).or_insert((place, 0));
            line.1 = line.1.max(hits.ran);
            if let Some(jump) = step.jump {
                let file = files.entry(sources.path(place.file)).or_default();
                let key = (place.line, place.column, jump.test.of_copies());
                let copies = file.jumps.entry(key).or_default();
                copies.constants.insert(jump.test.constant);
                for (to, way) in copies.to.iter_mut().zip(jump.ways) {
                    to.extend(way.map(|way| (sources.path(way.file), way.line)));
                }
                let mut ways = [hits.jumped, hits.ran.saturating_sub(hits.jumped)];
                if jump.opposite {
                    ways.reverse();
                }
                for (sum, count) in copies.taken.iter_mut().zip(ways) {
                    *sum = sum.saturating_add(count);
                }
            }
        }
        any |= !lines.is_empty();
        for (place, count) in lines.values() {
            let file = files.entry(sources.path(place.file)).or_default();
            let sum = file.lines.entry(place.line).or_default();
            *sum = sum.saturating_add(*count);
            let text = file.texts.entry(place.line).or_default();
            if text.is_empty() {
                *text = sources.text(place.text).trim_end().to_owned();
            }
        }
        if let Some(first) = steps.iter().find_map(|step| step.place) {
            let file = files.entry(sources.path(first.file)).or_default();
            let key = (first.line, function.name.clone());
            let calls = file.functions.entry(key).or_default();
            let entered = hits.first().map_or(0, |hits| hits.ran);
            *calls = calls.saturating_add(entered);
        }
    }
    any
}

/// The files of an object.
struct Sources<'a> {
    object: &'a Object,
    paths: BTreeMap<u32, PathBuf>,
}

impl Sources<'_> {
    fn path(&mut self, file: u32) -> PathBuf {
        if let Some(path) = self.paths.get(&file) {
            return path.clone();
        }
        let path = files::plain(&self.text(file));
        self.paths.insert(file, path.clone());
        path
    }

    fn text(&self, offset: u32) -> String {
        let btf = self.object.btf();
        let bytes = btf.and_then(|btf| btf.string_bytes(StringOffset(offset)));
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }
}

impl File {
    /// Whether a jump is a step on the way to a case of a `switch`: it asks for more or less, and
    /// both of its ways stay at its line.
    fn only_searches(&self, key: &JumpKey, path: &Path) -> bool {
        let (line, _, test) = key;
        let stays = |copies: &Copies| {
            let mut to = copies.to.iter().flatten();
            to.all(|(file, to)| to == line && file == path)
        };
        let text = self.texts.get(line);
        let is_switch = text.is_some_and(|text| text.trim_start().starts_with("switch"));
        is_switch && !test.is_equal() && self.jumps.get(key).is_some_and(stays)
    }

    fn finish(self, path: PathBuf) -> FileReport {
        let here = |way: &BTreeSet<(PathBuf, u32)>, line: u32| {
            let mut all = way.iter();
            let (file, to) = all.next().filter(|_| way.len() == 1)?;
            (*file == path && *to != line).then_some(*to)
        };
        let jumps = self
            .jumps
            .iter()
            .filter(|(key, _)| !self.only_searches(key, &path));
        let branches = jumps.map(|((line, column, test), copies)| Branch {
            line: *line,
            column: *column,
            ways: [0, 1].map(|way: usize| Way {
                when: copies
                    .constant()
                    .map(|constant| test.answer(constant, way == 0)),
                to: here(&copies.to[way], *line),
                taken: copies.taken[way],
            }),
        });
        let branches = branches.collect();
        FileReport {
            branches,
            functions: self
                .functions
                .into_iter()
                .map(|((line, name), calls)| FunctionReport { name, line, calls })
                .collect(),
            lines: self.lines,
            texts: self.texts,
            path,
        }
    }
}

impl Report {
    /// What ran of the file with this path, or whose path ends with it.
    pub fn file(&self, path: impl AsRef<Path>) -> Option<&FileReport> {
        let path = path.as_ref();
        self.files.iter().find(|file| file.path.ends_with(path))
    }
}
