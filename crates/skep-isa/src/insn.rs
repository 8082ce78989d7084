//! The typed instruction: every value of [`Insn`] can be encoded, and every encoding that the
//! decoder accepts is exactly one value.

use crate::operand::{
    AluOp, ArenaCast, AtomicOp, ByteOrder, CompareOp, NarrowSize, Operand, SignExtension, Size,
    SwapWidth, Width,
};
use crate::reg::{Reg, StackArg};

/// One eBPF instruction.
///
/// Jump and call offsets count slots from the one after the instruction, as encoded;
/// [`Insn::target`] makes a position of them. Minimum kernels are those of the first encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "bpf_insn")]
pub enum Insn {
    /// `dst = dst op src`.
    #[doc(alias = "BPF_ALU")]
    #[doc(alias = "BPF_ALU64")]
    Alu {
        /// 32-bit or 64-bit arithmetic.
        width: Width,
        /// The operation.
        op: AluOp,
        /// The first operand and the result.
        dst: Reg,
        /// The second operand.
        src: Operand,
    },
    /// `dst = src`.
    #[doc(alias = "BPF_MOV")]
    Mov {
        /// How much is copied.
        width: Width,
        /// The result.
        dst: Reg,
        /// What is copied.
        src: Operand,
    },
    /// `dst = (s8)src` and the like (Linux 6.6).
    #[doc(alias = "BPF_MOVSX")]
    MovSx {
        /// From and to how many bits.
        extension: SignExtension,
        /// The result.
        dst: Reg,
        /// What is extended.
        src: Reg,
    },
    /// `dst = -dst`.
    #[doc(alias = "BPF_NEG")]
    Neg {
        /// 32-bit or 64-bit arithmetic.
        width: Width,
        /// The operand and the result.
        dst: Reg,
    },
    /// `dst = be16 dst` and the like.
    #[doc(alias = "BPF_END")]
    ByteSwap {
        /// When the bytes are swapped.
        order: ByteOrder,
        /// How many bits are kept.
        width: SwapWidth,
        /// The operand and the result.
        dst: Reg,
    },
    /// `dst = addr_space_cast(src, ..)` (Linux 6.9).
    #[doc(alias = "BPF_ADDR_SPACE_CAST")]
    AddrSpaceCast {
        /// The direction.
        cast: ArenaCast,
        /// The result.
        dst: Reg,
        /// The pointer.
        src: Reg,
    },
    /// `dst = value ll`: 64 bits, in two slots.
    #[doc(alias = "BPF_LD_IMM64")]
    LoadImm64 {
        /// The result.
        dst: Reg,
        /// The value, or what the kernel replaces by an address.
        value: Imm64,
    },
    /// `dst = *(u64 *)(base +offset)`, zero-extended.
    #[doc(alias = "BPF_LDX")]
    Load {
        /// Bytes read.
        size: Size,
        /// The result.
        dst: Reg,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
    },
    /// `dst = *(s32 *)(base +offset)`, sign-extended (Linux 6.6).
    #[doc(alias = "BPF_MEMSX")]
    LoadSigned {
        /// Bytes read.
        size: NarrowSize,
        /// The result.
        dst: Reg,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
    },
    /// `*(u64 *)(base +offset) = value`.
    #[doc(alias = "BPF_ST")]
    #[doc(alias = "BPF_STX")]
    Store {
        /// Bytes written.
        size: Size,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
        /// What is written; a constant is sign-extended to 8 bytes.
        value: Operand,
    },
    /// `dst = *(u64 *)(r11 +8)`: the callee's side of a stack argument (Linux 7.2).
    LoadStackArg {
        /// The result.
        dst: Reg,
        /// Which argument.
        arg: StackArg,
    },
    /// `*(u64 *)(r11 -8) = value`: the caller's side of a stack argument (Linux 7.2).
    StoreStackArg {
        /// Which argument.
        arg: StackArg,
        /// What is passed; a constant is sign-extended.
        value: Operand,
    },
    /// `lock *(u64 *)(base +offset) += src` and the like.
    #[doc(alias = "BPF_ATOMIC")]
    Atomic {
        /// 4 or 8 bytes.
        width: Width,
        /// The operation.
        op: AtomicOp,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
        /// The operand, and where the old value goes if the operation says so.
        src: Reg,
    },
    /// `dst = load_acquire((u64 *)(base +offset))` (Linux 6.15).
    #[doc(alias = "BPF_LOAD_ACQ")]
    LoadAcquire {
        /// Bytes read.
        size: Size,
        /// The result.
        dst: Reg,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
    },
    /// `store_release((u64 *)(base +offset), src)` (Linux 6.15).
    #[doc(alias = "BPF_STORE_REL")]
    StoreRelease {
        /// Bytes written.
        size: Size,
        /// The pointer.
        base: Reg,
        /// Bytes added to the pointer.
        offset: i16,
        /// What is written.
        src: Reg,
    },
    /// `r0 = *(u8 *)skb[offset]`: a legacy packet load, in network byte order. Ends the program if
    /// out of bounds.
    #[doc(alias = "BPF_ABS")]
    LoadPacketAbs {
        /// Bytes read.
        size: NarrowSize,
        /// Where in the packet, in bytes.
        offset: i32,
    },
    /// `r0 = *(u8 *)skb[index + offset]`: a legacy packet load, in network byte order. Ends the
    /// program if out of bounds.
    #[doc(alias = "BPF_IND")]
    LoadPacketInd {
        /// Bytes read.
        size: NarrowSize,
        /// Where in the packet, in bytes.
        index: Reg,
        /// Bytes added to the index.
        offset: i32,
    },
    /// `goto`.
    #[doc(alias = "BPF_JA")]
    Jump {
        /// Slots from the next instruction.
        offset: i16,
    },
    /// `gotol`: `goto` with a 32-bit offset (Linux 6.6).
    #[doc(alias = "BPF_JMP32")]
    JumpLong {
        /// Slots from the next instruction.
        offset: i32,
    },
    /// `if dst op src goto`.
    #[doc(alias = "BPF_JMP")]
    JumpIf {
        /// How much is compared.
        width: Width,
        /// The comparison.
        op: CompareOp,
        /// The left side.
        dst: Reg,
        /// The right side.
        src: Operand,
        /// Slots from the next instruction.
        offset: i16,
    },
    /// `may_goto`: jumps once the loop's budget is spent (Linux 6.9).
    #[doc(alias = "BPF_JCOND")]
    #[doc(alias = "BPF_MAY_GOTO")]
    MayGoto {
        /// Slots from the next instruction.
        offset: i16,
    },
    /// `gotox`: to the address in a register, loaded from a map of type `INSN_ARRAY` (Linux 6.19).
    JumpIndirect {
        /// Holds the address.
        target: Reg,
    },
    /// `call`.
    #[doc(alias = "BPF_CALL")]
    Call(CallTarget),
    /// `exit`: returns `r0`.
    #[doc(alias = "BPF_EXIT")]
    Exit,
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallTarget {
    /// A helper function of the kernel, by its number.
    #[doc(alias = "BPF_FUNC_map_lookup_elem")]
    Helper(u32),
    /// A function of the same program (Linux 4.16).
    #[doc(alias = "BPF_PSEUDO_CALL")]
    Subprogram {
        /// Slots from the next instruction.
        offset: i32,
    },
    /// A kernel function exported to BPF (Linux 5.13).
    #[doc(alias = "BPF_PSEUDO_KFUNC_CALL")]
    Kfunc {
        /// The function's BTF type id.
        btf_id: u32,
        /// In which BTF: 0 is the kernel's, others index the load's `fd_array` (a module's BTF).
        fd_index: i16,
    },
    /// The address in a register (`callx`). Compilers emit it; no kernel takes it.
    Register(Reg),
}

/// What a `ld_imm64` loads: a number, or something that the kernel replaces by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// A number.
    Value(u64),
    /// The address of a map.
    #[doc(alias = "BPF_PSEUDO_MAP_FD")]
    MapFd {
        /// The map's file descriptor.
        fd: i32,
    },
    /// An address inside a map's first value (Linux 5.2).
    #[doc(alias = "BPF_PSEUDO_MAP_VALUE")]
    MapValue {
        /// The map's file descriptor.
        fd: i32,
        /// Where in the value, in bytes.
        offset: u32,
    },
    /// The address of a kernel variable (Linux 5.10).
    #[doc(alias = "BPF_PSEUDO_BTF_ID")]
    BtfId {
        /// The variable's BTF type id.
        id: u32,
        /// The descriptor of a module's BTF; 0 for the kernel's own.
        btf_fd: i32,
    },
    /// The address of a function of the same program, for callbacks (Linux 5.13).
    #[doc(alias = "BPF_PSEUDO_FUNC")]
    Subprogram {
        /// Slots from the one after this instruction's first.
        offset: i32,
    },
    /// The address of a map, by its index in the load's `fd_array` (Linux 5.14).
    #[doc(alias = "BPF_PSEUDO_MAP_IDX")]
    MapIndex {
        /// The index.
        index: i32,
    },
    /// An address inside a map's first value, by the map's index in `fd_array` (Linux 5.14).
    #[doc(alias = "BPF_PSEUDO_MAP_IDX_VALUE")]
    MapIndexValue {
        /// The index.
        index: i32,
        /// Where in the value, in bytes.
        offset: u32,
    },
}
