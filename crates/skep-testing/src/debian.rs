//! Debian's packages as test material: kernels, their sources and Rust's, fetched by the machine's own apt.
//!
//! Where the machine's sources don't have a package, those of another suite are asked, from the
//! same places: lists and state stand in the cache, and nothing of the machine is changed. What was
//! fetched stays in the cache, and no network is asked again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use skep_build::Cache;

use crate::{Outcome, Stop, find_tool};

/// Packages of Debian, and where they are kept.
#[derive(Debug, Clone)]
pub struct Debian {
    cache: Cache,
}

impl Debian {
    /// The user's cache.
    ///
    /// # Errors
    /// There is no place for a cache.
    pub fn open() -> Outcome<Self> {
        Ok(Self {
            cache: Cache::open()?,
        })
    }

    /// The suite with newer versions of packages for this machine: `bookworm-backports`.
    ///
    /// # Errors
    /// Skips: this system does not say what release it is.
    pub fn backports(&self) -> Outcome<String> {
        Ok(format!("{}-backports", codename().map_err(Stop::lacks)?))
    }

    /// A folder of the cache.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.cache.root().join("debian").join(name)
    }

    /// The newest package of the first of `suites` that has one, as a file: `name` is the whole
    /// name, or has a `*` for what differs between versions; `NAME=1.95*` asks for a package's
    /// version. `trixie-security` and the like are suites, too.
    ///
    /// # Errors
    /// Skips: this is no machine of Debian's kind, or there is no such package, or no network.
    pub fn package(&self, name: &str, suites: &[&str]) -> Outcome<PathBuf> {
        let folder = self.folder(&name.replace(['*', '='], "_"));
        if let Some(package) = package_in(&folder) {
            return Ok(package);
        }
        find_tool("apt-get")?;
        find_tool("dpkg-deb")?;
        fs::create_dir_all(&folder)?;
        let mut reason = String::new();
        let machine = std::iter::once(Ok(Apt::machine()));
        let others = suites.iter().map(|suite| self.suite(suite));
        for apt in machine.chain(others) {
            match apt.and_then(|apt| apt.download(name, &folder)) {
                Ok(()) => {
                    if let Some(package) = package_in(&folder) {
                        return Ok(package);
                    }
                }
                Err(error) => reason = error,
            }
        }
        Err(Stop::lacks(format!(
            "the package {name} ({}): {reason}",
            suites.join(", ")
        )))
    }

    /// A folder with a package's files, unpacked once beside it.
    ///
    /// # Errors
    /// Skips without `dpkg-deb`; fails if the package is none.
    pub fn unpacked(&self, package: &Path) -> Outcome<PathBuf> {
        let beside = package.parent().unwrap_or(Path::new("."));
        let tree = beside.join("tree");
        if !tree.exists() {
            unpack(&[package.to_owned()], &tree)?;
        }
        Ok(tree)
    }

    /// A folder with the files of the package `name` of `suite` and of all that it needs and that
    /// this machine does not have: programs to run from there, with nothing installed.
    ///
    /// # Errors
    /// Skips as [`Self::package`] does.
    pub fn unpacked_with_needs(&self, name: &str, suite: &str) -> Outcome<PathBuf> {
        let tree = self.folder(name).join("tree");
        if tree.exists() {
            return Ok(tree);
        }
        find_tool("apt-get")?;
        let packages = self.folder(name).join("packages");
        // What an earlier run that was interrupted has left.
        let _ = fs::remove_dir_all(&packages);
        fs::create_dir_all(&packages)?;
        let fetched = self
            .suites(&[suite, &codename().map_err(Stop::lacks)?])
            .and_then(|apt| {
                let plan = ["-s", "--no-install-recommends", "-t", suite, "install"];
                let plan = apt.run("apt-get", &[&plan[..], &[name]].concat(), &packages)?;
                let needed = plan.lines().filter_map(|line| {
                    let rest = line.strip_prefix("Inst ")?;
                    rest.split_whitespace().next()
                });
                let needed: Vec<&str> = needed.collect();
                let download = ["-q", "-t", suite, "download"];
                apt.run("apt-get", &[&download[..], &needed].concat(), &packages)
            });
        fetched.map_err(|reason| {
            Stop::lacks(format!("the package {name} ({suite}) unpacked: {reason}"))
        })?;
        let found = fs::read_dir(&packages)?.filter_map(Result::ok);
        let found: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
        unpack(&found, &tree)?;
        Ok(tree)
    }

    /// The machine's sources with another suite.
    fn suite(&self, suite: &str) -> Result<Apt, String> {
        self.suites(&[suite])
    }

    /// The machine's sources with these suites.
    fn suites(&self, suites: &[&str]) -> Result<Apt, String> {
        let sources: Result<Vec<String>, String> =
            suites.iter().map(|suite| sources_of(suite)).collect();
        let sources = sources?.join("\n");
        let folder = self.folder("apt").join(suites.join("+"));
        let written = |error| format!("{}: {error}", folder.display());
        for inner in ["state/lists/partial", "cache/archives/partial", "sources"] {
            fs::create_dir_all(folder.join(inner)).map_err(written)?;
        }
        fs::write(folder.join("sources/skep.sources"), sources).map_err(written)?;
        let set = |name: &str, value: String| ["-o".to_owned(), format!("{name}={value}")];
        let inside = |inner: &str| folder.join(inner).display().to_string();
        let mut options = Vec::new();
        options.extend(set("Dir::Etc::sourcelist", "/dev/null".into()));
        options.extend(set("Dir::Etc::sourceparts", inside("sources")));
        options.extend(set("Dir::State", inside("state")));
        options.extend(set("Dir::State::status", "/var/lib/dpkg/status".into()));
        options.extend(set("Dir::Cache", inside("cache")));
        // Suites that are no longer made anew.
        options.extend(set("Acquire::Check-Valid-Until", "false".into()));
        options.extend(set("Acquire::Languages", "none".into()));
        let apt = Apt { options };
        apt.run("apt-get", &["-q", "update"], &folder)?;
        Ok(apt)
    }
}

/// apt, by the machine's configuration or another.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn machine() -> Self {
        Self {
            options: Vec::new(),
        }
    }

    /// Puts the newest package of that name into `folder`.
    fn download(&self, name: &str, folder: &Path) -> Result<(), String> {
        let found = match name.split_once('*') {
            None => name.to_owned(),
            // apt itself chooses among versions.
            Some((prefix, _)) if prefix.contains('=') => name.to_owned(),
            Some((prefix, suffix)) => {
                let names = self.run("apt-cache", &["pkgnames", prefix], folder)?;
                let mut names: Vec<&str> = names
                    .lines()
                    .filter(|name| {
                        let middle = name.strip_prefix(prefix);
                        middle.is_some_and(|rest| rest.ends_with(suffix))
                    })
                    .collect();
                names.sort_by_key(|name| numbers(name));
                let newest = names.pop();
                newest
                    .ok_or_else(|| format!("there is no {name}"))?
                    .to_owned()
            }
        };
        self.run("apt-get", &["-q", "download", &found], folder)?;
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str], folder: &Path) -> Result<String, String> {
        let mut command = Command::new(program);
        command.args(&self.options);
        // Else it warns that its own user can't write here.
        command.args(["-o", "APT::Sandbox::User=root"]);
        let output = command
            .args(arguments)
            .current_dir(folder)
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| line.starts_with("E:"));
        let line = line.or(said.lines().next()).unwrap_or("it failed");
        Err(format!("{program}: {}", line.trim_start_matches("E: ")))
    }
}

/// Unpacks packages into `tree`, which is there only when all have been.
fn unpack(packages: &[PathBuf], tree: &Path) -> Outcome {
    let dpkg = find_tool("dpkg-deb")?;
    let beside = tree.parent().unwrap_or(Path::new("."));
    let unpacked = tempfile::Builder::new()
        .prefix("unpacking-")
        .tempdir_in(beside)?;
    for package in packages {
        let ran = Command::new(&dpkg)
            .arg("-x")
            .args([package, unpacked.path()])
            .stdin(Stdio::null())
            .output()?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let package = package.display();
            return Err(Stop::fail(format!("{package}: {}", said.trim())));
        }
    }
    match fs::rename(unpacked.keep(), tree) {
        // Another process was faster.
        Err(_) if tree.exists() => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// The package that was fetched into a folder.
fn package_in(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let mut files = files.map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "deb"))
}

/// The numbers in a name, by which versions are compared.
fn numbers(name: &str) -> Vec<u64> {
    let digits = name.split(|letter: char| !letter.is_ascii_digit());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// What the machine's release is called.
fn codename() -> Result<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .ok_or("this system has no codename")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The machine's own sources with `suite` in place of theirs, as a file for apt.
fn sources_of(suite: &str) -> Result<String, String> {
    let codename = codename()?;
    // Security suites come from places of their own.
    let security = suite.ends_with("-security");
    let like = if security {
        format!("{codename}-security")
    } else {
        codename
    };
    let found: Vec<String> = machine_sources()
        .iter()
        .filter(|source| source.suites.contains(&like))
        .map(|source| source.with_suite(suite))
        .collect();
    match found.is_empty() {
        true => Err(format!("no source of this machine has the suite {like}")),
        false => Ok(found.join("\n")),
    }
}

/// An entry of apt's sources.
#[derive(Debug, Default, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
}

impl Source {
    fn with_suite(&self, suite: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: {}\n",
            self.uris.join(" "),
            self.components.join(" ")
        );
        if !self.signed_by.is_empty() {
            text += &format!("Signed-By: {}\n", self.signed_by);
        }
        text
    }
}

fn machine_sources() -> Vec<Source> {
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    let parts = parts.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = parts.chain(["/etc/apt/sources.list".into()]).collect();
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(text.split("\n\n").filter_map(stanza)),
            Some("list") => sources.extend(text.lines().filter_map(line)),
            _ => {}
        }
    }
    sources
}

/// A stanza of a `.sources` file.
fn stanza(text: &str) -> Option<Source> {
    let mut source = Source::default();
    let (mut binary, mut field) = (false, String::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = match line.split_once(':') {
            Some((name, value)) if !line.starts_with([' ', '\t']) => {
                field = name.to_ascii_lowercase();
                value
            }
            _ => line,
        };
        let words = value.split_whitespace().map(str::to_owned);
        match field.as_str() {
            "types" => binary |= value.split_whitespace().any(|word| word == "deb"),
            "uris" => source.uris.extend(words),
            "suites" => source.suites.extend(words),
            "components" => source.components.extend(words),
            // A key may also stand here in full, in indented lines.
            "signed-by" if line.starts_with([' ', '\t']) => {
                source.signed_by += &format!("\n{line}");
            }
            "signed-by" => value.trim().clone_into(&mut source.signed_by),
            "enabled" if value.trim() == "no" => return None,
            _ => {}
        }
    }
    (binary && !source.uris.is_empty()).then_some(source)
}

/// A line of a `.list` file: `deb [signed-by=…] URI SUITE COMPONENT…`.
fn line(text: &str) -> Option<Source> {
    let text = text.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match text.strip_prefix('[') {
        Some(text) => text.split_once(']')?,
        None => ("", text),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn sources_of_both_forms_are_read() {
        let expected = Source {
            uris: owned(&["http://mirror.example/debian"]),
            suites: owned(&["bookworm", "bookworm-updates"]),
            components: owned(&["main", "contrib"]),
            signed_by: "/usr/share/keyrings/some.gpg".into(),
        };
        let text = "Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm\n bookworm-updates\nComponents: main contrib\n\
                    Signed-By: /usr/share/keyrings/some.gpg\n";
        assert_eq!(stanza(text), Some(expected));
        assert_eq!(
            stanza("Types: deb-src\nURIs: http://mirror.example/debian\n"),
            None
        );
        assert_eq!(stanza(&format!("{text}Enabled: no\n")), None);
        let expected = Source {
            uris: owned(&["http://mirror.example/debian"]),
            suites: owned(&["trixie"]),
            components: owned(&["main"]),
            signed_by: "/k.gpg".into(),
        };
        let text = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main";
        assert_eq!(line(text), Some(expected));
        assert_eq!(line("# deb http://mirror.example/debian trixie main"), None);
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let newer = numbers("linux-image-6.1.0-49-cloud-amd64");
        assert!(newer > numbers("linux-image-6.1.0-9-cloud-amd64"));
    }
}
