//! The test programs that run on test kernels: built by cargo as always, run once on this machine
//! for what they compile, and put into the guest's files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use skep_testing::{find_tool, guest};

use super::{
    initramfs::Initramfs,
    verdicts::{self, Verdicts},
};
use crate::{Result, cargo, root};

/// The suites: what they are called here, their package and test target.
const SUITES: [(&str, &str, &str); 4] = [
    ("skep-linux", "skep-linux", "kernel"),
    ("skep", "skep", "kernel"),
    ("skep-light", "skep-light", "kernel"),
    ("skep-vm", "skep-vm", "hosts"),
];

/// A suite that runs only where it is named: the virtual machine held against the kernel, which takes
/// an emulated processor many minutes.
const BY_NAME: &str = "skep-vm";

/// Programs that tests start or look at, and the guest itself needs.
const PROGRAMS: [&str; 15] = [
    "sh", "cat", "true", "false", "sleep", "ls", "ip", "tc", "unshare", "env", "echo", "touch",
    "id", "setcap", "getcap",
];

/// Files that programs read, as far as there are such.
const FILES: [&str; 9] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/os-release",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/protocols",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/iproute2/rt_protos",
];

/// Where the guest finds what was compiled beforehand.
const PREBUILT: &str = "/var/lib/skep-prebuilt";

/// A suite that was built.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// What makes it another thing than a test program.
    pub(super) verdicts: Option<Verdicts>,
    /// The test program.
    program: PathBuf,
    /// Where its tests write.
    scratch: PathBuf,
    /// The folder that cargo would run it in.
    folder: PathBuf,
}

/// The names of all suites.
pub(crate) fn names() -> Vec<&'static str> {
    let tests = SUITES.iter().map(|(name, ..)| *name);
    tests.chain([verdicts::NAME]).collect()
}

/// The names of those that run where none is named.
pub(crate) fn default_names() -> Vec<&'static str> {
    let all = names().into_iter();
    all.filter(|name| *name != BY_NAME).collect()
}

/// Builds the suites of these names; `folder` is for what comes of that.
pub(crate) fn build(wanted: &[&str], folder: &Path) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for (name, package, target) in SUITES {
        if !wanted.contains(&name) {
            continue;
        }
        let program = cargo(&["test", "--no-run", "--package", package, "--test", target])?;
        // `CARGO_TARGET_TMPDIR`, which the program was built with.
        let scratch = program.ancestors().nth(3).ok_or("a program of cargo's")?;
        suites.push(Suite {
            name,
            verdicts: None,
            scratch: scratch.join("tmp"),
            folder: root().join("crates").join(package),
            program,
        });
    }
    if wanted.contains(&verdicts::NAME) {
        let verdicts = Verdicts::build(folder)?;
        suites.push(Suite {
            name: verdicts::NAME,
            scratch: folder.to_owned(),
            folder: root(),
            program: verdicts.program.clone(),
            verdicts: Some(verdicts),
        });
    }
    Ok(suites)
}

/// What every guest has: its first process, and what that one runs.
pub(super) fn guest(commands: &[guest::Command], folder: &Path) -> Result<Initramfs> {
    let mut files = Initramfs::new()?;
    let init = cargo(&["build", "--package", "skep-testing", "--bin", "vm-init"])?;
    files.libraries(&init)?;
    let init = fs::read(stripped(&init, folder)?)?;
    files.file(Path::new("/init"), 0o755, init);
    for name in PROGRAMS {
        if let Ok(program) = find_tool(name) {
            files.program(&program)?;
        }
    }
    let text = guest::Command::write(commands);
    files.file(Path::new(guest::COMMANDS), 0o644, text.into_bytes());
    Ok(files)
}

impl Suite {
    /// Runs the tests on this machine for what they compile, unless that was done for all of them
    /// since the program was built. How the tests end does not matter.
    pub(crate) fn prepare(&self, folder: &Path, arguments: &[String]) -> Result<PathBuf> {
        let folder = folder.join("prebuilt").join(self.name);
        let stamp = folder.join("done");
        let time = |path: &Path| fs::metadata(path).ok()?.modified().ok();
        let newest = newest(&self.folder.join("tests"))?.max(time(&self.program));
        if time(&stamp) > newest {
            return Ok(folder);
        }
        println!("── {}: compiling what its tests need", self.name);
        let all = arguments.is_empty();
        if all {
            let _ = fs::remove_dir_all(&folder);
        }
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(&self.scratch)?;
        Command::new(&self.program)
            .args(arguments)
            .env("SKEP_PREPARE", &folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if all {
            fs::write(stamp, "")?;
        }
        Ok(folder)
    }

    /// Puts the program, what it compiles and its sources into the guest's files.
    fn put(&self, files: &mut Initramfs, arguments: &[String], folder: &Path) -> Result<()> {
        if let Some(verdicts) = &self.verdicts {
            files.copy_folder(&verdicts.objects)?;
        } else {
            let prebuilt = self.prepare(folder, arguments)?;
            for entry in fs::read_dir(&prebuilt)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default();
                files.copy_as(&Path::new(PREBUILT).join(name), &path)?;
            }
        }
        files.copy_as(&self.program, &stripped(&self.program, folder)?)?;
        files.libraries(&self.program)?;
        files.folder(&self.scratch);
        files.folder(&self.folder);
        for sources in ["tests/c", "tests/rust"] {
            let folder = self.folder.join(sources);
            if folder.exists() {
                files.copy_folder(&folder)?;
            }
        }
        Ok(())
    }

    /// The command that runs it on this machine, if it is one of tests.
    pub(super) fn here(&self, arguments: &[String]) -> Option<Command> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder);
        self.verdicts.is_none().then_some(command)
    }

    /// The command that runs it in the guest.
    fn command(&self, arguments: &[String]) -> guest::Command {
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        guest::Command {
            folder: self.folder.clone(),
            environment: vec![
                set("SKEP_PREBUILT", PREBUILT),
                set(
                    "PATH",
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                ),
                set("HOME", "/root"),
                set("RUST_BACKTRACE", "0"),
            ],
            words: [self.program.display().to_string()]
                .into_iter()
                .chain(match &self.verdicts {
                    None => arguments.to_vec(),
                    Some(verdicts) => {
                        vec!["--load".to_owned(), verdicts.objects.display().to_string()]
                    }
                })
                .collect(),
            patience: None,
        }
    }
}

/// The guest's files for these suites, without a kernel's modules.
pub(crate) fn files(suites: &[Suite], arguments: &[String], folder: &Path) -> Result<Initramfs> {
    let commands: Vec<guest::Command> = suites
        .iter()
        .map(|suite| suite.command(arguments))
        .collect();
    let mut files = guest(&commands, folder)?;
    for file in FILES {
        if Path::new(file).exists() {
            files.copy(Path::new(file))?;
        }
    }
    for shared in [
        "corpus",
        "examples",
        "crates/skep-object/tests/c",
        "crates/skep-build/tests/programs",
        "crates/skep-ebpf/src",
    ] {
        files.copy_folder(&root().join(shared))?;
    }
    for suite in suites {
        suite.put(&mut files, arguments, folder)?;
    }
    Ok(files)
}

/// The program without debug information: it is unpacked into the guest's memory.
pub(super) fn stripped(program: &Path, folder: &Path) -> Result<PathBuf> {
    let Ok(strip) = find_tool("strip") else {
        return Ok(program.to_owned());
    };
    let made = folder.join(program.file_name().unwrap_or_default());
    let ran = Command::new(strip)
        .arg("--strip-debug")
        .arg("-o")
        .args([&made, program])
        .status()?;
    match ran.success() {
        true => Ok(made),
        false => Err(format!("strip {} failed", program.display()).into()),
    }
}

/// When the newest file below a folder was changed.
fn newest(folder: &Path) -> Result<Option<SystemTime>> {
    let mut time = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let this = if entry.file_type()?.is_dir() {
            newest(&entry.path())?
        } else {
            entry.metadata()?.modified().ok()
        };
        time = time.max(this);
    }
    Ok(time)
}
