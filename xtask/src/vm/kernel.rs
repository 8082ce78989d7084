//! The kernels to test on: packages of Debian, fetched by the machine's own apt and kept.

use std::{
    fs,
    path::{Path, PathBuf},
};

use skep_testing::{Debian, Outcome, Stop};

/// A row a kernel: its version, and the packages that have it, by name and suite. The cloud flavour
/// is small, and has all that tests need. From 7.0 on there are packages of the kernel, of its modules
/// and of its configuration.
const KERNELS: [(&str, &[&str], &str); 5] = [
    ("5.10", &["linux-image-5.10.0-*-cloud-amd64"], "bullseye"),
    ("6.1", &["linux-image-6.1.0-*-cloud-amd64"], "bookworm"),
    ("6.12", &["linux-image-6.12.*-cloud-amd64"], "trixie"),
    (
        "6.18",
        &["linux-image-6.18.*-cloud-amd64"],
        "trixie-backports",
    ),
    (
        "7.3",
        &[
            "linux-binary-7.3.*-cloud-amd64",
            "linux-modules-7.3.*-cloud-amd64",
            "linux-base-7.3.*-cloud-amd64",
        ],
        "trixie-backports",
    ),
];

/// The kernels of `--kernels all`: the ones that the project promises.
pub(crate) const PROMISED: [&str; 4] = ["5.10", "6.1", "6.12", "7.3"];

/// The modules that tests need, each behind those that it needs itself. A kernel that has one built
/// in, or not at all, has no file of it.
const MODULES: &[&str] = &[
    "veth",
    "dummy",
    "tun",
    "sch_ingress",
    "sch_prio",
    "cls_bpf",
    "act_bpf",
    "libcrc32c",
    "nf_defrag_ipv4",
    "nf_defrag_ipv6",
    "nf_conntrack",
];

/// A kernel that was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// Its version, and what makes it another of that: `6.12`, `6.12 (image)`.
    pub(crate) name: String,
    /// `6.12.117+deb12-cloud-amd64`.
    pub(crate) release: String,
    /// What QEMU starts.
    pub(crate) image: PathBuf,
    /// Its build configuration.
    pub(crate) config: PathBuf,
    /// Files of modules, in the order in which they are loaded.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Fetches and unpacks one, or finds it where that was done before.
    pub(crate) fn fetch(debian: &Debian, wanted: &str) -> Outcome<Self> {
        let row = KERNELS.iter().find(|(version, ..)| *version == wanted);
        let Some((version, packages, suite)) = row else {
            let known: Vec<&str> = KERNELS.iter().map(|(version, ..)| *version).collect();
            return Err(Stop::fail(format!(
                "there is no test kernel {wanted}: {}",
                known.join(", ")
            )));
        };
        let mut files = Vec::new();
        for package in *packages {
            let tree = debian.unpacked(&debian.package(package, &[suite])?)?;
            walk(&tree, &mut files)?;
        }
        // `config-RELEASE`, or `config` in a folder of that name.
        let named = |wanted: &str| {
            let is = |path: &&PathBuf| name(path).split('-').next() == Some(wanted);
            files.iter().find(is).cloned()
        };
        let broken = || Stop::fail(format!("{}: no kernel in it", packages.join(", ")));
        let image = named("vmlinuz").ok_or_else(broken)?;
        let config = named("config").ok_or_else(broken)?;
        Ok(Self {
            name: (*version).to_owned(),
            release: release(&files).ok_or_else(broken)?,
            modules: modules(&files),
            image,
            config,
        })
    }

    /// What is added to the kernel's command line.
    pub(crate) fn arguments(&self) -> &'static str {
        match self.name.as_str() {
            // Else LSM programs attach and never run.
            "5.10" => "lsm=lockdown,yama,apparmor,bpf",
            _ => "",
        }
    }
}

/// Those of the modules that tests need which are among the files.
pub(super) fn modules(files: &[PathBuf]) -> Vec<PathBuf> {
    let module = |wanted: &&str| {
        let is = |path: &&PathBuf| name(path).split(".ko").next() == Some(*wanted);
        let mut all = files.iter().filter(|path| name(path).contains(".ko"));
        all.find(is).cloned()
    };
    MODULES.iter().filter_map(module).collect()
}

/// The folder's name in `lib/modules`.
fn release(files: &[PathBuf]) -> Option<String> {
    files.iter().find_map(|path| {
        let mut parts = path.iter().skip_while(|part| *part != "modules");
        Some(parts.nth(1)?.to_str()?.to_owned())
    })
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

pub(super) fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
