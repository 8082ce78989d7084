//! The project's own programs on kernels that are not here: what such a kernel says of each, told by
//! a run in its machine (`cargo xtask vm --verdicts`), held against what we say of that kernel from
//! afar, by its version, types and configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep::{
    Host, LoadOptions,
    abi::Command,
    boundary::{Errno, Error},
};
use skep_btf::Btf;
use skep_build::{Build, Cache};
use skep_object::{LinkOptions, Object, Target};
use skep_selftests::name_of;
use skep_testing::{Outcome, Stop};
use skep_verifier::{Answer, Finding, Options, Rule, portability};

use crate::own;

/// What a line of an answer begins with.
const WORD: &str = "verdict";

/// At least so many of a hundred answers must be the kernel's.
const LEAST: usize = 98;

/// Programs that we judge otherwise than a kernel: `object/program`, the kernels' versions (none: any),
/// and why that is the machine's doing.
const DIFFERENCES: &[(&str, &[&str], &str)] = &[];

/// Programs that are there to be too much for a verifier: `object/program`. In an emulated machine
/// some kernels take minutes until they say so.
const ENDLESS: [&str; 2] = ["unbounded_loop/roll", "wrong/endless"];

/// Compiles all own programs into a folder.
pub(crate) fn compile(folder: &Path) -> Outcome<bool> {
    fs::create_dir_all(folder)?;
    let cache = Cache::open()?;
    let mut names = BTreeSet::new();
    for source in own::sources() {
        let built = Build::new(&source).cache(cache.clone()).color(false);
        // Some need macros, or are there to be refused by all.
        let Ok(built) = built.cached() else { continue };
        let mut name = name_of(&source);
        let ours = Object::parse(&fs::read(&built.object)?).is_ok();
        if !ours {
            continue;
        }
        if names.contains(&name) {
            let above = source.parent().and_then(Path::parent);
            let above = above.and_then(Path::file_name).unwrap_or_default();
            name = format!("{}-{name}", above.to_string_lossy());
        }
        let path = folder.join(format!("{name}.o"));
        names.insert(name);
        fs::copy(&built.object, path)?;
    }
    // What was there of sources that are gone.
    for (name, path) in objects(folder)? {
        if !names.contains(&name) {
            fs::remove_file(path)?;
        }
    }
    println!("{} objects", names.len());
    Ok(true)
}

/// The objects of a folder by name.
fn objects(folder: &Path) -> Outcome<BTreeMap<String, PathBuf>> {
    let mut objects = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "o") {
            objects.insert(name_of(&path), path);
        }
    }
    Ok(objects)
}

/// Loads each program of the folder's objects by itself, and prints what the kernel says.
pub(crate) fn load(folder: &Path) -> Outcome<bool> {
    let host = Host::kernel()?;
    let options = LoadOptions {
        explain: false,
        ..LoadOptions::default()
    };
    for (name, path) in objects(folder)? {
        let spec = Object::parse_named(&fs::read(path)?, &name)?;
        for program in spec.programs() {
            let mut object = skep::Object::from_spec(spec.clone());
            if ENDLESS.contains(&format!("{name}/{}", program.name).as_str()) {
                let said = Said::Nothing("it would take too long".to_owned());
                println!("{WORD} {name} {} {said}", program.name);
                continue;
            }
            let loaded = object
                .only_programs(&[program.name.as_str()])
                .and_then(|()| object.load_with(&host, &options));
            let said = match loaded {
                Ok(_) => Said::Accepts,
                Err(error) => said_of(&error),
            };
            println!("{WORD} {name} {} {said}", program.name);
        }
    }
    Ok(true)
}

/// What a kernel says of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Accepts,
    /// With its words.
    Refuses(String),
    /// It was not asked: the program can't be made ready for it.
    Unready(String),
    /// It would not say: something else stood in the way.
    Nothing(String),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match self {
            Self::Accepts => ("accepts", ""),
            Self::Refuses(text) => ("refuses", text.as_str()),
            Self::Unready(text) => ("unready", text.as_str()),
            Self::Nothing(text) => ("nothing", text.as_str()),
        };
        let text: String = text
            .chars()
            .map(|c| if c < ' ' { ' ' } else { c })
            .collect();
        write!(f, "{word} {text}")
    }
}

fn said_of(error: &skep::Error) -> Said {
    let text = error.to_string();
    match error {
        skep::Error::Object(_) => Said::Unready(text),
        skep::Error::Rejected(rejection) if rejection.message.is_empty() => {
            match rejection.errno {
                // The verifier found nothing: what comes behind it is lockdown's.
                Errno::EPERM => Said::Nothing(text),
                _ => Said::Refuses(text),
            }
        }
        skep::Error::Rejected(rejection) => Said::Refuses(rejection.message.clone()),
        skep::Error::Host(error) if error.errno() == Some(Errno::EPERM) => Said::Nothing(text),
        // The program is loaded; that structure takes its other programs, too.
        skep::Error::Host(Error::Command { command, .. }) if *command == Command::MapUpdateElem => {
            Said::Nothing(text)
        }
        skep::Error::Host(Error::Command { .. }) => Said::Refuses(text),
        _ => Said::Nothing(text),
    }
}

/// A line of [`load`].
fn read(line: &str) -> Option<(String, Said)> {
    let mut words = line.strip_prefix(WORD)?.trim_start().splitn(4, ' ');
    let name = format!("{}/{}", words.next()?, words.next()?);
    let word = words.next()?;
    let text = words.next().unwrap_or_default().to_owned();
    Some((
        name,
        match word {
            "accepts" => Said::Accepts,
            "refuses" => Said::Refuses(text),
            "unready" => Said::Unready(text),
            "nothing" => Said::Nothing(text),
            _ => return None,
        },
    ))
}

/// Holds what a kernel said of the folder's objects against what we say of it.
///
/// `kernel` is its release; its types are in `btf`, its configuration in `config`.
pub(crate) fn compare(folder: &Path, said: &Path, kernel: &Kernel) -> Outcome<bool> {
    let text = fs::read_to_string(said)?;
    let said: BTreeMap<String, Said> = text.lines().filter_map(read).collect();
    let by_all = kernel.target()?;
    let by_version = Target::new(by_all.version);
    let mut full = Tally::default();
    let mut bare = Tally::default();
    for (name, path) in objects(folder)? {
        let spec = Object::parse_named(&fs::read(path)?, &name)?;
        for program in spec.programs() {
            let name = format!("{name}/{}", program.name);
            let Some(said) = said.get(&name) else {
                return Err(Stop::fail(format!("{}: nothing of {name}", kernel.release)));
            };
            let mut link = LinkOptions::new();
            link.only_programs([program.name.clone()]);
            for (target, tally) in [(&by_all, &mut full), (&by_version, &mut bare)] {
                let ours = portability(&spec, &link, target, &Options::default());
                // Attaching was not tried.
                let mut loading = ours.findings.iter().filter(|finding| !finding.at_attach);
                let worst = loading.next();
                let answer = worst.map_or(Answer::Loads, |finding| finding.answer);
                tally.add(&name, said, answer, worst);
            }
        }
    }
    println!("── {}: by version, types and configuration", kernel.release);
    let holds = full.print(kernel);
    println!("── {}: by version alone", kernel.release);
    bare.print(kernel);
    Ok(holds)
}

/// What is known of a kernel that is not here.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    /// `6.12.117+deb12-cloud-amd64`.
    pub(crate) release: String,
    /// `6.12.117`: Debian's older releases don't say the third number.
    pub(crate) version: String,
    /// The file with its types, and those of its modules.
    pub(crate) btf: PathBuf,
    /// The file with its configuration.
    pub(crate) config: PathBuf,
}

impl Kernel {
    fn target(&self) -> Outcome<Target> {
        let types = Arc::new(Btf::parse(fs::read(&self.btf)?)?);
        let config = fs::read_to_string(&self.config)?;
        Ok(Target::of_release(&self.version)?
            .with_kernel_btf(types)
            .with_config_text(&config))
    }
}

/// How often we agreed, and where not.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    /// We did not say.
    unknown: usize,
    /// The kernel did not.
    untold: usize,
    /// By cause, what we accept and the kernel refuses.
    false_accepts: BTreeMap<String, Vec<String>>,
    /// By rule, what we refuse and the kernel accepts.
    false_refusals: BTreeMap<String, Vec<String>>,
}

impl Tally {
    fn add(&mut self, name: &str, said: &Said, ours: Answer, finding: Option<&Finding>) {
        match (said, ours) {
            (Said::Nothing(_), _) => self.untold += 1,
            (_, Answer::Unknown) => self.unknown += 1,
            (Said::Accepts, Answer::Loads)
            | (Said::Refuses(_) | Said::Unready(_), Answer::Refused) => self.same += 1,
            (Said::Accepts, Answer::Refused) => {
                let rule = finding
                    .and_then(|finding| finding.rule)
                    .map_or("no rule", Rule::name);
                let why = finding.map(ToString::to_string).unwrap_or_default();
                let all = self.false_refusals.entry(rule.to_owned()).or_default();
                all.push(format!("{name}: {why}"));
            }
            (Said::Refuses(text) | Said::Unready(text), Answer::Loads) => {
                let all = self.false_accepts.entry(cause(text)).or_default();
                all.push(format!("{name}: {text}"));
            }
        }
    }

    /// Prints it; whether enough answers are the kernel's.
    fn print(&self, kernel: &Kernel) -> bool {
        let listed = |line: &str| {
            DIFFERENCES.iter().find(|(name, versions, _)| {
                line.split(": ").next() == Some(*name)
                    && (versions.is_empty() || versions.iter().any(|version| kernel.is(version)))
            })
        };
        let mut wrong = 0;
        for (what, differences) in [
            ("we accept, the kernel refuses", &self.false_accepts),
            ("we refuse, the kernel accepts", &self.false_refusals),
        ] {
            for (cause, lines) in differences {
                println!("{what}: {} ({cause})", lines.len());
                wrong += lines.len();
                for line in lines {
                    match listed(line) {
                        Some((.., reason)) => println!("  {line} [{reason}]"),
                        None => println!("  {line}"),
                    }
                }
            }
        }
        let all = self.same + wrong;
        println!(
            "as the kernel: {} of {all}; not known to us: {}; not told by the kernel: {}",
            self.same, self.unknown, self.untold
        );
        self.same * 100 >= all * LEAST
    }
}

impl Kernel {
    /// Whether it is of a version such as `6.1`.
    fn is(&self, version: &str) -> bool {
        let rest = self.release.strip_prefix(version);
        rest.is_some_and(|rest| rest.starts_with(['.', '-', '+']))
    }
}

/// The kernel's words without what is one program's: numbers.
fn cause(text: &str) -> String {
    let mut cause = String::new();
    for letter in text.chars().take(72) {
        match letter.is_ascii_digit() {
            true if cause.ends_with('#') => {}
            true => cause.push('#'),
            false => cause.push(letter),
        }
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_says_is_read_again() {
        for said in [
            Said::Accepts,
            Said::Refuses("R1 invalid mem access 'inv'".into()),
            Said::Unready("no such function".into()),
            Said::Nothing(String::new()),
        ] {
            let line = format!("{WORD} values faults {said}");
            assert_eq!(read(&line), Some(("values/faults".into(), said)));
        }
        assert_eq!(read("12 objects"), None);
    }

    #[test]
    fn causes_are_without_numbers() {
        assert_eq!(
            cause("invalid stack off=-12 size=8"),
            "invalid stack off=-# size=#"
        );
    }
}
