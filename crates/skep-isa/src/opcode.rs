//! The numbers of RFC 9669 section 3 to 5 and of uapi `linux/bpf.h` and `bpf_common.h`, under the
//! kernel's names. An opcode is the sum of a class and what that class divides it into; a number in
//! brackets is the first kernel that has it, where that is not the first with eBPF (3.18).

// Classes: the low 3 bits.
/// Loads of immediates, and legacy packet loads.
pub const BPF_LD: u8 = 0x00;
/// Loads from memory into a register.
pub const BPF_LDX: u8 = 0x01;
/// Stores of an immediate to memory.
pub const BPF_ST: u8 = 0x02;
/// Stores of a register to memory, and atomic operations.
pub const BPF_STX: u8 = 0x03;
/// 32-bit arithmetic.
pub const BPF_ALU: u8 = 0x04;
/// Jumps that compare 64 bits, calls, exit.
pub const BPF_JMP: u8 = 0x05;
/// Jumps that compare 32 bits, and the jump with a 32-bit offset (5.1).
pub const BPF_JMP32: u8 = 0x06;
/// 64-bit arithmetic.
pub const BPF_ALU64: u8 = 0x07;

// Sizes of memory accesses: bits 3 and 4.
/// 4 bytes.
pub const BPF_W: u8 = 0x00;
/// 2 bytes.
pub const BPF_H: u8 = 0x08;
/// 1 byte.
pub const BPF_B: u8 = 0x10;
/// 8 bytes.
pub const BPF_DW: u8 = 0x18;

// Modes of memory accesses: the high 3 bits.
/// 64-bit immediate, in two slots.
pub const BPF_IMM: u8 = 0x00;
/// Legacy packet load at a constant offset.
pub const BPF_ABS: u8 = 0x20;
/// Legacy packet load at a register's offset.
pub const BPF_IND: u8 = 0x40;
/// Ordinary load or store.
pub const BPF_MEM: u8 = 0x60;
/// Sign-extending load (6.6).
pub const BPF_MEMSX: u8 = 0x80;
/// Atomic operation; which one is in the immediate.
pub const BPF_ATOMIC: u8 = 0xc0;

// Sources of an operand: bit 3 of arithmetic and jumps.
/// The immediate.
pub const BPF_K: u8 = 0x00;
/// The source register.
pub const BPF_X: u8 = 0x08;

// Arithmetic operations: the high 4 bits.
/// Addition.
pub const BPF_ADD: u8 = 0x00;
/// Subtraction.
pub const BPF_SUB: u8 = 0x10;
/// Multiplication.
pub const BPF_MUL: u8 = 0x20;
/// Division; signed if the offset is 1 (6.6).
pub const BPF_DIV: u8 = 0x30;
/// Bitwise or.
pub const BPF_OR: u8 = 0x40;
/// Bitwise and.
pub const BPF_AND: u8 = 0x50;
/// Left shift.
pub const BPF_LSH: u8 = 0x60;
/// Logical right shift.
pub const BPF_RSH: u8 = 0x70;
/// Negation.
pub const BPF_NEG: u8 = 0x80;
/// Remainder; signed if the offset is 1 (6.6).
pub const BPF_MOD: u8 = 0x90;
/// Bitwise exclusive or.
pub const BPF_XOR: u8 = 0xa0;
/// Move; sign-extending if the offset is 8, 16 or 32 (6.6).
pub const BPF_MOV: u8 = 0xb0;
/// Arithmetic right shift.
pub const BPF_ARSH: u8 = 0xc0;
/// Byte order conversion; in `BPF_ALU64` an unconditional swap (6.6).
pub const BPF_END: u8 = 0xd0;

// Directions of a byte order conversion: bit 3 of `BPF_END`.
/// To or from little endian.
pub const BPF_TO_LE: u8 = 0x00;
/// To or from big endian.
pub const BPF_TO_BE: u8 = 0x08;

// Jumps: the high 4 bits.
/// Always; in `BPF_JMP32` with a 32-bit offset (6.6), with `BPF_X` to an address in a register (6.19).
pub const BPF_JA: u8 = 0x00;
/// Equal.
pub const BPF_JEQ: u8 = 0x10;
/// Unsigned greater.
pub const BPF_JGT: u8 = 0x20;
/// Unsigned greater or equal.
pub const BPF_JGE: u8 = 0x30;
/// Any common bit set.
pub const BPF_JSET: u8 = 0x40;
/// Not equal.
pub const BPF_JNE: u8 = 0x50;
/// Signed greater.
pub const BPF_JSGT: u8 = 0x60;
/// Signed greater or equal.
pub const BPF_JSGE: u8 = 0x70;
/// Call.
pub const BPF_CALL: u8 = 0x80;
/// Return.
pub const BPF_EXIT: u8 = 0x90;
/// Unsigned less (4.14).
pub const BPF_JLT: u8 = 0xa0;
/// Unsigned less or equal (4.14).
pub const BPF_JLE: u8 = 0xb0;
/// Signed less (4.14).
pub const BPF_JSLT: u8 = 0xc0;
/// Signed less or equal (4.14).
pub const BPF_JSLE: u8 = 0xd0;
/// Jump on a condition of the kernel's own: `may_goto` (6.9).
pub const BPF_JCOND: u8 = 0xe0;

// Atomic operations: the immediate of `BPF_ATOMIC`.
/// Added to the operation: put the old value into the source register (5.12).
pub const BPF_FETCH: i32 = 0x0001;
/// Exchange (5.12).
pub const BPF_XCHG: i32 = 0x00e1;
/// Compare with `r0` and exchange (5.12).
pub const BPF_CMPXCHG: i32 = 0x00f1;
/// Load with acquire order (6.15).
pub const BPF_LOAD_ACQ: i32 = 0x0100;
/// Store with release order (6.15).
pub const BPF_STORE_REL: i32 = 0x0110;

// Variants of an operation: the offset.
/// Of a 64-bit `BPF_MOV | BPF_X`: cast between address spaces (6.9).
pub const BPF_ADDR_SPACE_CAST: i16 = 1;

// Kinds of `ld_imm64`: its source register.
/// Address of a map, by descriptor.
pub const BPF_PSEUDO_MAP_FD: u8 = 1;
/// Address inside a map's first value, by descriptor (5.2).
pub const BPF_PSEUDO_MAP_VALUE: u8 = 2;
/// Address of a kernel variable, by BTF id (5.10).
pub const BPF_PSEUDO_BTF_ID: u8 = 3;
/// Address of a subprogram (5.13).
pub const BPF_PSEUDO_FUNC: u8 = 4;
/// Address of a map, by index into `fd_array` (5.14).
pub const BPF_PSEUDO_MAP_IDX: u8 = 5;
/// Address inside a map's first value, by index into `fd_array` (5.14).
pub const BPF_PSEUDO_MAP_IDX_VALUE: u8 = 6;

// Kinds of call: its source register.
/// A subprogram, by offset (4.16).
pub const BPF_PSEUDO_CALL: u8 = 1;
/// A kernel function, by BTF id (5.13).
pub const BPF_PSEUDO_KFUNC_CALL: u8 = 2;

// Kinds of `BPF_JCOND`: its source register.
/// `may_goto` (6.9).
pub const BPF_MAY_GOTO: u8 = 0;

// Registers.
/// The read-only frame pointer, `r10`.
pub const BPF_REG_FP: u8 = 10;
/// `r11`, the base of the arguments on the stack (7.2).
pub const BPF_REG_PARAMS: u8 = 11;
