//! `skep gen light`: an object as a Rust module that loads it with no ELF or BTF parser.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Args, ValueHint};
use skep::{Host, light::Light, spec::Target};

use crate::{
    btf::{Kept, types_in},
    cli::Global,
    exit::Usage,
    input::{self, CompileArgs},
    output::write_file,
    report,
};

/// Make a Rust module of an object, relocated for one kernel
///
/// The module has maps, programs and BTF as data, and loads them by the crate `skep-light`, with no
/// ELF or BTF parser in the binary: small, and quickly started. Global variables are methods, maps
/// and programs are fields. What is relocated by a kernel's types is for that build of the kernel
/// alone: on another the load says so and does nothing. Without --btf and --kernel that is the
/// running kernel.
#[derive(Debug, Args)]
pub(super) struct LightArgs {
    /// The object, or a source to compile first
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// The module to write; `-` for standard output
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath, default_value = "-")]
    output: PathBuf,

    /// The name of its types [default: the object's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The kernel's types: what `skep btf harvest` kept of a kernel, or BTF, or a vmlinux
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    btf: Option<PathBuf>,

    /// The version or release of the kernel whose types they are
    #[arg(long, value_name = "VERSION")]
    kernel: Option<String>,

    /// These programs (fentry, fexit, fsession) are on another program's function
    ///
    /// Whoever loads them says which program that is (`target_NAME`), as for those of freplace.
    #[arg(long, value_name = "PROGRAM,...", value_delimiter = ',')]
    on_program: Vec<String>,

    /// Sign the programs, by signatures that are made of what this writes
    ///
    /// Into this folder go the instructions of each program, as NAME.insns, and from there come
    /// signatures of them, NAME.p7s: detached PKCS #7 in DER, as of `openssl cms -sign -binary
    /// -noattr -outform DER -in NAME.insns -out NAME.p7s -signer CERT -inkey KEY`. Linux 6.18 checks
    /// them by the keys of a keyring when it loads them; 7.3 takes only programs that use no maps.
    /// Exits with 2 while one is missing.
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    sign: Option<PathBuf>,

    #[command(flatten)]
    compile: CompileArgs,
}

pub(super) fn light(args: &LightArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let mut object = input::open(&args.file, &args.compile, global)?;
    for name in &args.on_program {
        object.program(name)?.of_program(true);
    }
    let mut light = match target(args)? {
        Some((target, release)) => object.light_for(&target, &release)?,
        None => object.light(&Host::kernel()?)?,
    };
    if let Some(folder) = &args.sign {
        sign(&mut light, folder)?;
    }
    let name = args.name.as_deref().unwrap_or(&light.image().name);
    write_file(&args.output, light.to_rust(name).as_bytes())?;
    for downgrade in &light.image().downgrades {
        report::note(&format!("without {downgrade}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes what is to be signed, and takes the signatures.
fn sign(light: &mut Light<'_>, folder: &Path) -> anyhow::Result<()> {
    let cannot = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    let mut signatures = Vec::new();
    let mut missing = Vec::new();
    for (name, instructions) in light.to_sign()? {
        let (path, signature) = (
            folder.join(format!("{name}.insns")),
            folder.join(format!("{name}.p7s")),
        );
        fs::write(&path, instructions).with_context(|| cannot(&path))?;
        match fs::read(&signature) {
            Ok(bytes) => signatures.push((name.to_owned(), bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(path.display().to_string());
            }
            Err(error) => return Err(error).with_context(|| signature.display().to_string()),
        }
    }
    if !missing.is_empty() {
        return Err(Usage(format!(
            "not signed yet: sign {} (as .p7s beside it, see --help), and do this again",
            missing.join(", ")
        ))
        .into());
    }
    for (name, signature) in signatures {
        light.sign(&name, &signature)?;
    }
    Ok(())
}

/// The kernel that is not here, and its release.
fn target(args: &LightArgs) -> anyhow::Result<Option<(Target, String)>> {
    let release = |release: &str| -> anyhow::Result<Target> {
        let target = Target::of_release(release);
        target.map_err(|error| Usage(format!("--kernel {release}: {error}")).into())
    };
    Ok(match (&args.btf, &args.kernel) {
        (None, None) => None,
        (None, Some(kernel)) => Some((release(kernel)?, kernel.clone())),
        (Some(path), kernel) if Kept::is_at(path) => {
            if kernel.is_some() {
                return Err(Usage(format!(
                    "{} says what kernel it is of: leave out --kernel",
                    path.display()
                ))
                .into());
            }
            let kept = Kept::open(path)?;
            Some((kept.target, kept.release))
        }
        (Some(path), Some(kernel)) => {
            let target = release(kernel)?.with_kernel_btf(Arc::new(types(path)?));
            Some((target, kernel.clone()))
        }
        (Some(path), None) => {
            return Err(Usage(format!(
                "--btf {}: this file does not say what kernel it is of: give --kernel, too",
                path.display()
            ))
            .into());
        }
    })
}

fn types(path: &Path) -> anyhow::Result<skep::btf::Btf> {
    types_in(path).with_context(|| path.display().to_string())
}
