//! `skep new`: a project that builds, runs and tests at once. What is in it stands in
//! `templates/`; here is who may be called what, and where it goes.

mod name;
mod skep_at;
mod template;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ValueEnum, ValueHint};

use crate::{cli::Global, exit::Usage, report};

use skep_at::SkepAt;
use template::Template;

/// Make a new project: programs, user space, tests and CI
///
/// It builds, runs and passes its tests as it is: `cargo run`, `cargo test`. User space is in Rust; the
/// kernel side in C or in Rust.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The folder to make; its last part is the project's name
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath)]
    path: PathBuf,

    #[command(flatten)]
    language: Languages,

    /// What the programs are attached to
    #[arg(long, value_name = "HOOK", default_value = "tracepoint")]
    hook: Hook,

    /// The project's name, if it is not the folder's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// A checkout of Skep to depend on
    ///
    /// Without it, that from which this command was built; if that is not there, Cargo.toml asks for
    /// this version from a registry.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    skep: Option<PathBuf>,
}

/// What the kernel side is written in.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Languages {
    /// The kernel side is in C, and compiled by clang
    #[arg(long)]
    c: bool,

    /// The kernel side is in Rust, a crate of its own, compiled by rustc with core's source
    #[arg(long)]
    rust: bool,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    C,
    Rust,
}

/// The first program's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hook {
    /// System calls of processes: which files they open
    Tracepoint,
    /// A function of the kernel's: which files it opens
    Kprobe,
    /// A function of a process: which environment variables it asks for
    Uprobe,
    /// Packets as a network device receives them: how many of which protocol
    Xdp,
}

pub(crate) fn new(args: &NewArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name::of_folder(&args.path)?,
    };
    name::check(&name).map_err(Usage)?;
    let skep = SkepAt::find(args.skep.as_deref())?;
    make_folder(&args.path)?;
    let template = Template {
        name: &name,
        language: match args.language {
            Languages { rust: true, .. } => Language::Rust,
            Languages { .. } => Language::C,
        },
        hook: args.hook,
        skep: &skep,
    };
    for (path, text) in template.files() {
        let path = args.path.join(path);
        write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        if global.verbose > 0 {
            report::note(&path.display().to_string());
        }
    }
    let path = args.path.display();
    let next = match args.hook {
        Hook::Tracepoint | Hook::Uprobe => "cargo run -- ls /etc`, `cargo test`",
        Hook::Kprobe => "cargo test`, and as root `cargo run`",
        Hook::Xdp => "cargo test`, and as root `cargo run -- lo`",
    };
    say!("made {path}: next, `cd {path} && {next}");
    if let SkepAt::Registry = skep {
        report::note(
            "Skep is not published yet, and its sources are not where this command was built: name \
             them with --skep DIR, or set the paths in Cargo.toml",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder, which must not be there: nobody's files are written over.
fn make_folder(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let made = parent
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::create_dir(path));
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Usage(format!(
            "{} is there already: name a folder that is to be made",
            path.display()
        ))
        .into()),
        made => made.with_context(|| format!("cannot make the folder {}", path.display())),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    #[cfg(unix)]
    if text.starts_with("#!") {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
