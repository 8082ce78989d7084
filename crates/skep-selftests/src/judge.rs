//! Judging the programs of objects for this machine's kernel, one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use skep_btf::Btf;
use skep_object::{Image, LinkOptions, Object, Target};
use skep_verifier::{Options, Program, Verdict, verify};

use crate::{
    Result, Tally,
    expectation::{Expectation, Expected, expectations},
};

/// How programs are judged, and which.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The machine.
    pub target: Target,
    /// Who loads, and what is written.
    pub options: Options,
    /// Programs without an expectation too.
    pub all: bool,
    /// Just the programs of this name.
    pub only: Option<String>,
    /// Objects whose types tests ask for by name.
    pub types: BTreeMap<String, PathBuf>,
    /// How often each is verified; the least time counts.
    pub times: u32,
}

/// A program that was judged.
#[derive(Debug)]
pub struct Case<'a> {
    /// The object's name.
    pub object: &'a str,
    /// The object.
    pub spec: &'a Object,
    /// The program's.
    pub program: &'a str,
    /// It and those that are loaded along with it.
    pub programs: &'a [String],
    /// The types that its CO-RE relocations are made by, if not the kernel's.
    pub core_btf: Option<&'a Arc<Btf>>,
    /// What its tags say.
    pub expectation: &'a Expectation,
    /// What they say of a load as the one that was judged.
    pub expected: Option<&'a Expected>,
    /// What was judged, or why it could not be made ready.
    pub image: std::result::Result<&'a Image, &'a skep_object::Error>,
    /// The verdict, if there is an image.
    pub verdict: Option<Verdict>,
    /// How long it took.
    pub time: Duration,
}

impl Case<'_> {
    /// Whether the program may run: what can't be made ready may not.
    pub fn accepted(&self) -> bool {
        self.verdict.as_ref().is_some_and(Verdict::is_accepted)
    }

    /// Whether that is as expected; `None` if nothing is.
    pub fn is_right(&self) -> Option<bool> {
        Some(self.expected?.accept == self.accepted())
    }

    /// Why it may not run, in a line.
    pub fn reason(&self) -> String {
        match (&self.image, &self.verdict) {
            (Err(error), _) => format!("does not link: {error}"),
            (Ok(_), Some(verdict)) => match &verdict.rejection {
                Some(why) => why.to_string(),
                None => "accepted".to_owned(),
            },
            (Ok(_), None) => "not in its own image".to_owned(),
        }
    }

    /// The rule that it breaks, or what else stands in its way.
    pub fn rule(&self) -> &'static str {
        match &self.verdict {
            None => "does not link",
            Some(verdict) => match &verdict.rejection {
                Some(why) => why.rule.name(),
                None => "accepted",
            },
        }
    }
}

impl Judge {
    /// Judges for the running kernel, of which it reads version, types and configuration.
    ///
    /// # Errors
    /// The kernel does not show its types, or its version is none.
    pub fn here() -> Result<Self> {
        const TYPES: &str = "/sys/kernel/btf/vmlinux";
        let types =
            std::fs::read(TYPES).map_err(|error| format!("cannot read {TYPES}: {error}"))?;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let version = release.trim().split(['-', '+']).next().unwrap_or_default();
        let target = Target::new(version.parse()?).with_kernel_btf(Arc::new(Btf::parse(types)?));
        Ok(Self {
            target,
            options: Options::default(),
            all: false,
            only: None,
            types: BTreeMap::new(),
            times: 1,
        })
    }

    /// The same for a loader without capabilities, against what is expected of such.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        let (log, count) = (self.options.log, self.options.count);
        self.options = Options::unprivileged();
        (self.options.log, self.options.count) = (log, count);
        self
    }

    /// Judges the programs of an object of this name, in its order.
    ///
    /// # Errors
    /// The file can't be read, or is no object.
    pub fn object(&self, name: &str, path: &Path, mut each: impl FnMut(Case<'_>)) -> Result {
        let bytes = std::fs::read(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let object = Object::parse_named(&bytes, name)?;
        let expectations = expectations(object.btf().map(AsRef::as_ref));
        for program in object.programs() {
            let unknown = Expectation::default();
            let expectation = expectations.get(&program.name).unwrap_or(&unknown);
            let expected = match self.options.bpf {
                true => expectation.privileged.as_ref(),
                false => expectation.unprivileged.as_ref(),
            };
            let chosen = match &self.only {
                Some(only) => *only == program.name,
                None => self.all || expected.is_some(),
            };
            if !chosen {
                continue;
            }
            let mut programs = vec![program.name.clone()];
            programs.extend(others(&object, &expectations, &program.name));
            let mut link = LinkOptions::new();
            link.only_programs(programs.iter().cloned());
            let core_btf = match &expectation.types {
                Some(name) => self.types_of(name)?,
                None => None,
            };
            let other_target = core_btf
                .as_ref()
                .map(|btf| self.target.clone().with_core_btf(Arc::clone(btf)));
            let target = other_target.as_ref().unwrap_or(&self.target);
            let image = object.link(&link, target).map(|mut image| {
                for program in &mut image.programs {
                    program.flags |= expectation.flags;
                }
                image
            });
            let (verdict, time) = match &image {
                Ok(image) => self.verdict(image, &program.name),
                Err(_) => (None, Duration::ZERO),
            };
            each(Case {
                object: name,
                spec: &object,
                program: &program.name,
                programs: &programs,
                core_btf: core_btf.as_ref(),
                expectation,
                expected,
                image: image.as_ref(),
                verdict,
                time,
            });
        }
        Ok(())
    }

    /// The types of an object that stands beside the tests.
    fn types_of(&self, name: &str) -> Result<Option<Arc<Btf>>> {
        let Some(path) = self.types.get(name) else {
            return Ok(None);
        };
        let object = Object::parse(&std::fs::read(path)?)?;
        Ok(object.btf().cloned())
    }

    fn verdict(&self, image: &Image, name: &str) -> (Option<Verdict>, Duration) {
        let btf = image.btf.clone().and_then(|bytes| Btf::parse(bytes).ok());
        let btf = btf.map(Arc::new);
        let Some(program) = image.program(name) else {
            return (None, Duration::ZERO);
        };
        let (mut verdict, mut least) = (None, Duration::MAX);
        for _ in 0..self.times.max(1) {
            let start = Instant::now();
            let subject = Program::from_image(image, program, btf.as_ref());
            verdict = Some(verify(&subject, &self.target, &self.options));
            least = least.min(start.elapsed());
        }
        (verdict, least)
    }
}

/// The programs that are loaded along with one.
fn others<'o>(
    object: &'o Object,
    expectations: &'o BTreeMap<String, Expectation>,
    program: &'o str,
) -> impl Iterator<Item = String> + 'o {
    let auxiliary = |name: &&String| expectations.get(*name).is_some_and(|one| one.auxiliary);
    let names = object.programs().iter().map(|other| &other.name);
    names
        .filter(auxiliary)
        .filter(move |name| *name != program)
        .cloned()
}

/// What an object is called by its file: the name without its endings.
pub fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The command line of the verifier's example `judge`:
/// `judge [-v] [--list] [--all] [--unprivileged] [--only NAME] FILE…`.
///
/// Prints a line for each verdict that is not the expected one (`--list`: for every one), then the
/// misses by cause and the totals.
///
/// # Errors
/// The kernel's types can't be read. Files that can't are named, and passed over.
pub fn judge_command(arguments: impl IntoIterator<Item = String>) -> Result {
    let mut files = Vec::<PathBuf>::new();
    let mut judge = Judge::here()?;
    let (mut list, mut unprivileged) = (false, false);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-v" => judge.options.log = true,
            "--list" => list = true,
            "--all" => judge.all = true,
            "--unprivileged" => unprivileged = true,
            "--only" => judge.only = arguments.next(),
            option if option.starts_with('-') => return Err(format!("no option {option}").into()),
            file => files.push(file.into()),
        }
    }
    if unprivileged {
        judge = judge.unprivileged();
    }
    files.sort();
    judge.types = types_beside(&files);
    let mut tally = Tally::default();
    for file in &files {
        let judged = judge.object(&name_of(file), file, |case| {
            if let Some(verdict) = case.verdict.as_ref().filter(|_| judge.options.log) {
                print!("{}", verdict.log);
            }
            let right = case.is_right().unwrap_or(true);
            if !right || list || judge.options.log {
                let mark = if right { "ok" } else { "WRONG" };
                println!("{mark} {}/{}: {}", case.object, case.program, case.reason());
            }
            tally.add(&case);
        });
        if let Err(error) = judged {
            println!("{}: {error}", file.display());
        }
    }
    print!("{}", tally.misses().by_cause());
    println!("{tally}");
    Ok(())
}

/// What tests may ask for by name: objects in the folders of those that are judged.
fn types_beside(files: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    let entries = folders
        .into_iter()
        .filter_map(|folder| folder.read_dir().ok());
    entries
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .map(|path| (name_of(&path), path))
        .filter(|(name, _)| name.starts_with("btf__"))
        .collect()
}
