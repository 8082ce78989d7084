//! Judging the programs of objects for this machine's kernel, one at a time.

use std::{
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
            let mut link = LinkOptions::new();
            link.only_programs([program.name.clone()]);
            let image = object.link(&link, &self.target).map(|mut image| {
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
                expectation,
                expected,
                image: image.as_ref(),
                verdict,
                time,
            });
        }
        Ok(())
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
