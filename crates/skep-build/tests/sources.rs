//! Every macro of the headers, and programs as people write them, compiled without a warning by
//! every clang there is.

mod common;

use std::path::Path;

use common::*;
use skep_build::{Arch, Build, Cpu, Endian, Error};

fn check(build: Build, what: &str) -> Option<std::path::PathBuf> {
    let output = build
        .cached()
        .unwrap_or_else(|error| panic!("{what}:\n{error}"));
    assert_eq!(output.warnings, "", "{what}");
    Some(output.object)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn macros_with_kernel_types() {
    if !has_kernel_types() {
        return;
    }
    for clang in clangs() {
        for source in sources("macros") {
            if name(&source) != "machines.c" {
                check(
                    strict(&source, &clang),
                    &format!("{} {}", clang.version(), source.display()),
                );
            }
        }
    }
}

#[test]
fn macros_with_uapi_headers() {
    if !has_uapi_headers() {
        return;
    }
    for clang in clangs() {
        for source in sources("macros") {
            // bpf_iter_num is in no uapi header before 6.4.
            if !["machines.c", "loops.c"].contains(&name(&source)) {
                let build = strict(&source, &clang).define("UAPI").define("VERSION=2");
                check(
                    build,
                    &format!("{} {} UAPI", clang.version(), source.display()),
                );
            }
        }
    }
}

#[test]
fn registers_of_every_machine_in_both_byte_orders() {
    let machines = [
        Arch::X86_64,
        Arch::X86,
        Arch::Arm64,
        Arch::Arm,
        Arch::RiscV64,
        Arch::S390x,
        Arch::PowerPc64,
        Arch::LoongArch64,
        Arch::Mips64,
    ];
    for clang in clangs() {
        for arch in machines {
            for endian in [Endian::Little, Endian::Big] {
                let build = strict(&here("macros/machines.c"), &clang)
                    .arch(arch)
                    .endian(endian);
                check(build, &format!("{} {arch:?} {endian:?}", clang.version()));
            }
        }
    }
}

#[test]
fn a_machine_that_is_not_named_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("a.bpf.c");
    let text = "typedef unsigned long long __u64; typedef long long __s64; typedef int __s32;\n\
                typedef unsigned int __u32, __be32, __wsum; typedef unsigned short __u16, __be16;\n\
                typedef unsigned char __u8;\n\
                #undef __TARGET_ARCH_x86\n#include <bpf/bpf_tracing.h>\n\
                long f(struct pt_regs *ctx) { return PT_REGS_PARM1(ctx); }\n";
    std::fs::write(&source, text).unwrap();
    for clang in clangs() {
        let build = strict(&source, &clang).arch(Arch::X86_64);
        let Err(Error::Compile { stderr, .. }) = build.cached() else {
            panic!("it compiled")
        };
        assert!(
            stderr.contains("name the traced machine, as in -D__TARGET_ARCH_x86"),
            "{stderr}"
        );
    }
}

#[test]
fn programs() {
    if !has_kernel_types() || !has_uapi_headers() {
        return;
    }
    for clang in clangs() {
        for source in sources("programs") {
            check(
                strict(&source, &clang),
                &format!("{} {}", clang.version(), source.display()),
            );
        }
    }
}

#[test]
fn instruction_sets() {
    for clang in clangs() {
        let mut sizes = Vec::new();
        for cpu in [Cpu::V1, Cpu::V2, Cpu::V3] {
            let build = strict(&here("macros/machines.c"), &clang)
                .arch(Arch::X86_64)
                .cpu(cpu);
            let object = check(build, &format!("{} {cpu:?}", clang.version())).unwrap();
            sizes.push(
                code(&object)
                    .iter()
                    .map(|code| code.bytes.len())
                    .sum::<usize>(),
            );
        }
        assert!(
            sizes[2] <= sizes[0],
            "v3 should not be longer than v1: {sizes:?}"
        );
        if clang.version().major >= 18 {
            check(
                strict(&here("macros/machines.c"), &clang).cpu(Cpu::V4),
                "v4",
            );
        }
    }
}

/// The precompiled vmlinux.h is a matter of time only. (Some clangs then number types otherwise.)
#[test]
fn a_precompiled_header_makes_the_same_object() {
    if !has_kernel_types() {
        return;
    }
    for clang in clangs() {
        for name in [
            "processes",
            "opens",
            "block_latency",
            "run_queue",
            "connects",
            "tc",
        ] {
            let source = here(&format!("programs/{name}.bpf.c"));
            let folder = tempfile::tempdir().unwrap();
            let object = |precompile: bool| {
                let path = folder.path().join(format!("{precompile}.o"));
                let build = Build::new(&source).clang(clang.clone()).cache(cache());
                build.precompile(precompile).output(&path).run().unwrap();
                path
            };
            let (plain, precompiled) = (object(false), object(true));
            assert_eq!(code(&plain), code(&precompiled), "{name}");
            assert_eq!(
                core_relocations(&plain),
                core_relocations(&precompiled),
                "{name}"
            );
            assert_eq!(types(&plain), types(&precompiled), "{name}");
            assert!(
                cache()
                    .root()
                    .join("precompiled")
                    .read_dir()
                    .unwrap()
                    .count()
                    > 0
            );
        }
    }
}
