//! What the other chores need on the machine, installed by the system's own package manager,
//! after saying so.

use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::Result;

/// A tool, how to see that it is there, and the package that has it.
struct Tool {
    what: &'static str,
    present: fn() -> bool,
    /// Package names for apt, dnf, pacman, apk and zypper.
    packages: [&'static str; 5],
}

const CLANG: Tool = Tool {
    what: "clang, which compiles C to BPF",
    present: clang_present,
    packages: ["clang", "clang", "clang", "clang", "clang"],
};

const LIBC_HEADERS: Tool = Tool {
    what: "the kernel's uapi headers, which some sources include",
    present: || Path::new("/usr/include/linux/bpf.h").exists(),
    packages: [
        "linux-libc-dev",
        "kernel-headers",
        "linux-api-headers",
        "linux-headers",
        "linux-glibc-devel",
    ],
};

const LINKER: Tool = Tool {
    what: "a C compiler, with which Rust links",
    present: || on_path("cc"),
    packages: ["gcc libc6-dev", "gcc", "gcc", "gcc musl-dev", "gcc"],
};

const IPROUTE: Tool = Tool {
    what: "ip, with which tests make their network namespaces",
    present: || on_path("ip"),
    packages: ["iproute2", "iproute", "iproute2", "iproute2", "iproute2"],
};

const SECOND_CLANG: Tool = Tool {
    what: "a second, newer clang, which the kernel's selftests need",
    present: || on_path("clang-19"),
    packages: ["clang-19", "", "", "clang19", "clang19"],
};

const XZ: Tool = Tool {
    what: "xz, which unpacks the sources of the kernel's selftests",
    present: || on_path("xz"),
    packages: ["xz-utils", "xz", "xz", "xz", "xz"],
};

/// Peers that some tests hold Skep against. Systems that don't package them run without.
const PEERS: [Tool; 7] = [
    Tool {
        what: "libbpf's headers and library, which tests compare with",
        present: || Path::new("/usr/include/bpf/libbpf.h").exists(),
        packages: [
            "libbpf-dev",
            "libbpf-devel",
            "libbpf",
            "libbpf-dev",
            "libbpf-devel",
        ],
    },
    Tool {
        what: "bpftool, whose output tests compare with",
        present: || on_path("bpftool"),
        packages: ["bpftool", "bpftool", "bpf", "bpftool", "bpftool"],
    },
    Tool {
        what: "systemtap's sys/sdt.h, whose probe points tests attach to",
        present: || {
            let arch = format!("/usr/include/{}-linux-gnu/sys/sdt.h", env::consts::ARCH);
            Path::new("/usr/include/sys/sdt.h").exists() || Path::new(&arch).exists()
        },
        packages: [
            "systemtap-sdt-dev",
            "systemtap-sdt-devel",
            "",
            "",
            "systemtap-sdt-devel",
        ],
    },
    Tool {
        what: "lcov, which reads the tracefiles of coverage",
        present: || on_path("lcov"),
        packages: ["lcov", "lcov", "", "", "lcov"],
    },
    Tool {
        what: "clang's own coverage, which tests compare ours with",
        present: || on_path("llvm-profdata") && has_profile_runtime(),
        packages: [
            "llvm libclang-rt-dev",
            "llvm compiler-rt",
            "llvm compiler-rt",
            "llvm compiler-rt",
            "llvm clang",
        ],
    },
    SECOND_CLANG,
    XZ,
];

/// Makes sure that Skep builds and runs here.
pub(crate) fn for_running() -> Result<()> {
    install(&[LINKER, CLANG])?;
    // Only programs for packets include them.
    if let Err(error) = install(&[LIBC_HEADERS]) {
        println!("going on without: {error}");
    }
    Ok(())
}

/// Makes sure that the kernel's selftests can be unpacked and compiled here, or says why not: then
/// they are skipped.
pub(crate) fn for_selftests() {
    for tool in [SECOND_CLANG, XZ, LIBC_HEADERS] {
        if let Err(error) = install(&[tool]) {
            println!("going on without: {error}");
        }
    }
}

/// Makes sure that all tests can run here; once a process, whatever it then runs.
pub(crate) fn for_tests() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    install(&[LINKER, CLANG, LIBC_HEADERS, IPROUTE])?;
    for peer in PEERS {
        if let Err(error) = install(&[peer]) {
            println!("tests go on without: {error}");
        }
    }
    Ok(())
}

/// Whether clang has what programs that count their coverage are linked with.
fn has_profile_runtime() -> bool {
    let said = Command::new("clang").arg("--print-resource-dir").output();
    let Ok(said) = said else { return false };
    let folder = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let arch = env::consts::ARCH;
    let names = [
        format!("lib/linux/libclang_rt.profile-{arch}.a"),
        format!("lib/{arch}-unknown-linux-gnu/libclang_rt.profile.a"),
        format!("lib/{arch}-redhat-linux-gnu/libclang_rt.profile.a"),
    ];
    let mut places = names.iter().map(|name| Path::new(&folder).join(name));
    places.any(|place| place.is_file())
}

fn install(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !(tool.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some((manager, column, arguments)) = package_manager() else {
        let what: Vec<&str> = missing.iter().map(|tool| tool.what).collect();
        return Err(format!(
            "this machine lacks {}, and none of apt-get, dnf, pacman, apk and zypper is here to install it",
            what.join("; ")
        )
        .into());
    };
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|tool| tool.packages[column].split_whitespace())
        .collect();
    for tool in &missing {
        println!("missing: {}", tool.what);
    }
    if packages.is_empty() {
        return Err("this system has no package of it".into());
    }
    let mut words: Vec<&str> = Vec::new();
    if !is_root() {
        words.push("sudo");
    }
    words.push(manager);
    words.extend(arguments);
    words.extend(packages);
    println!("installing with: {}", words.join(" "));
    if manager == "apt-get" {
        let mut update = Vec::from(&words[..words.len().min(usize::from(!is_root()) + 1)]);
        update.extend(["-q", "update"]);
        run(&update)?;
    }
    run(&words)?;
    match missing.iter().find(|tool| !(tool.present)()) {
        Some(tool) => Err(format!("installed, but still missing: {}", tool.what).into()),
        None => Ok(()),
    }
}

fn run(words: &[&str]) -> Result<()> {
    let status = Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .map_err(|error| format!("cannot run {}: {error}", words[0]))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` failed", words.join(" ")).into())
    }
}

fn package_manager() -> Option<(&'static str, usize, Vec<&'static str>)> {
    let managers: [(&str, &[&str]); 5] = [
        (
            "apt-get",
            &["install", "-q", "-y", "--no-install-recommends"],
        ),
        ("dnf", &["install", "-q", "-y"]),
        ("pacman", &["-S", "--noconfirm", "--needed"]),
        ("apk", &["add"]),
        ("zypper", &["--non-interactive", "install"]),
    ];
    managers
        .iter()
        .enumerate()
        .find(|(_, (name, _))| on_path(name))
        .map(|(column, (name, arguments))| (*name, column, arguments.to_vec()))
}

fn clang_present() -> bool {
    on_path("clang") || (11..40).any(|version| on_path(&format!("clang-{version}")))
}

/// A program of that name is on `PATH`, or in the folders that users' `PATH`s leave out.
pub(crate) fn on_path(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

/// This process is root.
pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            == Some("0")
    })
}
