//! What an object is made for: the traced machine, the byte order, the instruction set.

/// The machine whose registers and system calls the program will see: `__TARGET_ARCH_*` of
/// `bpf_tracing.h`. BPF instructions themselves are the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Arch {
    X86_64,
    X86,
    Arm64,
    Arm,
    RiscV64,
    S390x,
    PowerPc64,
    LoongArch64,
    Mips64,
}

impl Arch {
    /// The machine this code was compiled for; x86-64 where it is none of the list.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else if cfg!(target_arch = "arm") {
            Self::Arm
        } else if cfg!(target_arch = "riscv64") {
            Self::RiscV64
        } else if cfg!(target_arch = "s390x") {
            Self::S390x
        } else if cfg!(target_arch = "powerpc64") {
            Self::PowerPc64
        } else if cfg!(target_arch = "loongarch64") {
            Self::LoongArch64
        } else if cfg!(target_arch = "mips64") {
            Self::Mips64
        } else if cfg!(target_arch = "x86") {
            Self::X86
        } else {
            Self::X86_64
        }
    }

    /// The macro that `bpf_tracing.h` goes by.
    pub(crate) const fn macro_name(self) -> &'static str {
        match self {
            Self::X86_64 => "__TARGET_ARCH_x86",
            Self::X86 => "__TARGET_ARCH_i386",
            Self::Arm64 => "__TARGET_ARCH_arm64",
            Self::Arm => "__TARGET_ARCH_arm",
            Self::RiscV64 => "__TARGET_ARCH_riscv",
            Self::S390x => "__TARGET_ARCH_s390",
            Self::PowerPc64 => "__TARGET_ARCH_powerpc",
            Self::LoongArch64 => "__TARGET_ARCH_loongarch",
            Self::Mips64 => "__TARGET_ARCH_mips",
        }
    }

    /// Debian's and Ubuntu's folders of this machine's headers below /usr/include.
    pub(crate) const fn multiarch(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["x86_64-linux-gnu"],
            Self::X86 => &["i386-linux-gnu"],
            Self::Arm64 => &["aarch64-linux-gnu"],
            Self::Arm => &["arm-linux-gnueabihf", "arm-linux-gnueabi"],
            Self::RiscV64 => &["riscv64-linux-gnu"],
            Self::S390x => &["s390x-linux-gnu"],
            Self::PowerPc64 => &["powerpc64le-linux-gnu", "powerpc64-linux-gnu"],
            Self::LoongArch64 => &["loongarch64-linux-gnu"],
            Self::Mips64 => &["mips64el-linux-gnuabi64", "mips64-linux-gnuabi64"],
        }
    }
}

/// The byte order of the machine that will run the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Endian {
    Little,
    Big,
}

impl Endian {
    /// The order of the machine this code was compiled for.
    pub const fn host() -> Self {
        if cfg!(target_endian = "big") {
            Self::Big
        } else {
            Self::Little
        }
    }

    pub(crate) const fn rust_target(self) -> &'static str {
        match self {
            Self::Little => "bpfel-skep",
            Self::Big => "bpfeb-skep",
        }
    }

    pub(crate) const fn clang_target(self) -> &'static str {
        match self {
            Self::Little => "bpfel",
            Self::Big => "bpfeb",
        }
    }
}

/// The instruction set the compiler may use.
///
/// The default is [`Cpu::V3`]: every kernel that Skep supports (5.10 and newer) takes it, and its
/// 32-bit instructions make programs shorter and spare the verifier the shifts by which older sets
/// clear a register's upper half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cpu {
    /// The first set. Any kernel.
    V1,
    /// Jumps for less-than. Linux 4.14.
    V2,
    /// 32-bit arithmetic and jumps. Linux 5.1; atomics that fetch, where the source asks for
    /// them, 5.12.
    #[default]
    V3,
    /// Sign-extending loads and moves, byte swaps, signed division, long jumps. Linux 6.6, and
    /// clang 18 or any rustc that will do.
    V4,
}

impl Cpu {
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::V1 => "-mcpu=v1",
            Self::V2 => "-mcpu=v2",
            Self::V3 => "-mcpu=v3",
            Self::V4 => "-mcpu=v4",
        }
    }
    pub(crate) const fn rust_flag(self) -> &'static str {
        match self {
            Self::V1 => "-Ctarget-cpu=v1",
            Self::V2 => "-Ctarget-cpu=v2",
            Self::V3 => "-Ctarget-cpu=v3",
            Self::V4 => "-Ctarget-cpu=v4",
        }
    }
}
