//! The interpreter's instructions: one 16-byte record a slot, with an operation that says all.

/// One operation of the interpreter. Its place is that of the slot it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) code: Code,
    pub(super) dst: u8,
    pub(super) src: u8,
    /// A displacement in bytes.
    pub(super) offset: i16,
    /// A jump's target, as a slot of the program. Of an access: 1 if it is guarded.
    pub(super) target: u32,
    /// A constant, sign-extended; a helper's address; a function's index.
    pub(super) imm: u64,
}

macro_rules! codes {
    ($($name:ident)*) => {
        /// What an [`Op`] does. `I` takes the constant, `R` the source register.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Code { $($name,)* }
    };
}

codes! {
    Add64I Add64R Add32I Add32R Sub64I Sub64R Sub32I Sub32R Mul64I Mul64R Mul32I Mul32R
    Div64I Div64R Div32I Div32R SDiv64I SDiv64R SDiv32I SDiv32R
    Mod64I Mod64R Mod32I Mod32R SMod64I SMod64R SMod32I SMod32R
    Or64I Or64R Or32I Or32R And64I And64R And32I And32R Xor64I Xor64R Xor32I Xor32R
    Lsh64I Lsh64R Lsh32I Lsh32R Rsh64I Rsh64R Rsh32I Rsh32R Arsh64I Arsh64R Arsh32I Arsh32R
    // A number in two slots.
    Imm64
    Mov64I Mov64R Mov32I Mov32R Neg64 Neg32
    S8To32 S16To32 S8To64 S16To64 S32To64
    Low16 Low32 Low64 Swap16 Swap32 Swap64
    Cast
    Load8 Load16 Load32 Load64 LoadS8 LoadS16 LoadS32
    Store8I Store16I Store32I Store64I Store8R Store16R Store32R Store64R
    AtomicAdd32 AtomicAdd64 AtomicOr32 AtomicOr64 AtomicAnd32 AtomicAnd64 AtomicXor32 AtomicXor64
    FetchAdd32 FetchAdd64 FetchOr32 FetchOr64 FetchAnd32 FetchAnd64 FetchXor32 FetchXor64
    Xchg32 Xchg64 CmpXchg32 CmpXchg64
    Acquire8 Acquire16 Acquire32 Acquire64 Release8 Release16 Release32 Release64
    LoadArg StoreArgI StoreArgR
    PacketAbs PacketInd
    Jump MayGoto JumpIndirect
    Eq64I Eq64R Eq32I Eq32R Ne64I Ne64R Ne32I Ne32R Gt64I Gt64R Gt32I Gt32R
    Ge64I Ge64R Ge32I Ge32R Lt64I Lt64R Lt32I Lt32R Le64I Le64R Le32I Le32R
    SGt64I SGt64R SGt32I SGt32R SGe64I SGe64R SGe32I SGe32R
    SLt64I SLt64R SLt32I SLt32R SLe64I SLe64R SLe32I SLe32R
    Set64I Set64R Set32I Set32R
    CallHelper CallFunction Exit
    // The second half of a two-slot instruction: nothing ever goes there.
    Hole
}
