//! The rules that a program can break, each with its name and what it asks.

use std::fmt;

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal;)*) => {
        /// A rule of the verifier. Its name is what `skep explain` takes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Rule {
            /// All rules, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, such as `map-value-or-null`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Its page, in Markdown: what it asks and why, how to mend it, and a program that breaks it
            /// beside its mended form (`skep explain`).
            #[must_use]
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../pages/", $name, ".md")),)*
                }
            }
        }
    };
}

rules! {
    /// Every instruction is one that the kernel knows, with nothing in its unused fields.
    InvalidInstruction = "invalid-instruction";
    /// The target's kernel has the instruction.
    InstructionNotHere = "instruction-not-here";
    /// Jumps and calls stay inside their function, and on instruction boundaries.
    JumpOutOfRange = "jump-out-of-range";
    /// Every instruction can be reached.
    UnreachableCode = "unreachable-code";
    /// A function ends in `exit` or a jump, and does not run on into the next.
    NoExit = "no-exit";
    /// Loops end: each round changes something that leads to their end.
    UnboundedLoop = "unbounded-loop";
    /// The verifier can follow all paths within its limit of instructions.
    TooComplex = "too-complex";
    /// A program has no more instructions, functions or maps than the kernel takes.
    TooLarge = "too-large";
    /// Calls don't nest too deep, and never recurse.
    CallTooDeep = "call-too-deep";
    /// The frames of a call chain fit the stack of 512 bytes.
    StackOverflow = "stack-overflow";

    /// A register is written before it is read.
    UninitialisedRegister = "uninitialised-register";
    /// Stack is written before it is read.
    UninitialisedStack = "uninitialised-stack";
    /// Stack accesses stay inside the frame, at offsets that are known.
    StackOutOfBounds = "stack-out-of-bounds";
    /// The frame pointer, R10, is read only.
    FramePointerWrite = "frame-pointer-write";
    /// A pointer that was spilled to the stack is only overwritten or read as a whole.
    PartialPointer = "partial-pointer";

    /// What a map lookup gave is used only after a test that it is not null.
    MapValueOrNull = "map-value-or-null";
    /// A pointer that may be null is used only after a test that it is not.
    PointerOrNull = "pointer-or-null";
    /// Accesses stay inside the map's value.
    MapValueOutOfBounds = "map-value-out-of-bounds";
    /// An index or length has an upper bound before it is used.
    UnboundedIndex = "unbounded-index";
    /// An index or length is not negative when it is used.
    NegativeIndex = "negative-index";
    /// Packet accesses lie below a `data_end` that they were compared with.
    PacketOutOfBounds = "packet-out-of-bounds";
    /// The context is read and written only where its type allows it, and in the sizes of its fields.
    ContextAccess = "context-access";
    /// Accesses stay inside the memory that a pointer is known to have.
    MemoryOutOfBounds = "memory-out-of-bounds";
    /// Kernel structures are read by their fields, and written only where the kernel allows it.
    StructAccess = "struct-access";
    /// Read-only memory is not written.
    ReadOnlyWrite = "read-only-write";
    /// Accesses are aligned to their size where the kernel asks for it.
    MisalignedAccess = "misaligned-access";
    /// Only pointers are dereferenced.
    NotAPointer = "not-a-pointer";
    /// Only addition and subtraction are done with pointers, and only with those that allow it.
    PointerArithmetic = "pointer-arithmetic";
    /// What is added to a pointer is bounded.
    PointerPlusUnknown = "pointer-plus-unknown";
    /// Pointers are only compared where the comparison has a meaning.
    PointerComparison = "pointer-comparison";
    /// Kernel addresses don't leave the program.
    PointerLeak = "pointer-leak";
    /// Divisors that are constants are not zero, and shifts stay below the width.
    InvalidOperand = "invalid-operand";
    /// Atomic operations go to memory that they can be done in.
    AtomicAccess = "atomic-access";
    /// One instruction accesses one kind of memory, whatever path leads to it.
    MixedPointers = "mixed-pointers";

    /// The helper is one that the kernel has.
    UnknownHelper = "unknown-helper";
    /// The target's kernel has the helper.
    HelperNotHere = "helper-not-here";
    /// The helper may be called from programs of this type.
    HelperNotAllowed = "helper-not-allowed";
    /// What is for GPL-compatible programs only is used by such.
    GplOnly = "gpl-only";
    /// An argument has the type that the function asks for.
    ArgumentType = "argument-type";
    /// A size argument is bounded, and fits the memory that it is the size of.
    ArgumentSize = "argument-size";
    /// An argument that must be a constant is one.
    ArgumentConstant = "argument-constant";
    /// The helper works on maps of this type.
    MapHelperMismatch = "map-helper-mismatch";
    /// Programs of this type may use maps of this type.
    MapNotAllowed = "map-not-allowed";
    /// The kernel function is one that the target's kernel has.
    UnknownKfunc = "unknown-kfunc";
    /// The kernel function may be called from programs of this type.
    KfuncNotAllowed = "kfunc-not-allowed";
    /// Nothing that sleeps is called where sleeping is not allowed.
    MaySleep = "may-sleep";
    /// What is called while a lock is held does not wait or call back.
    CallUnderLock = "call-under-lock";
    /// References are given back before the program ends.
    ReferenceLeak = "reference-leak";
    /// Only what is held is given back, as it was got, and once.
    ReferenceRelease = "reference-release";
    /// Locks are taken one at a time, and the one that was taken is released.
    LockMisuse = "lock-misuse";
    /// RCU, preemption and interrupt sections are balanced.
    UnbalancedSection = "unbalanced-section";
    /// Dynptrs are made, used and destroyed by their functions, while what they point into lives.
    DynptrMisuse = "dynptr-misuse";
    /// Iterators are made, moved and destroyed in order.
    IteratorMisuse = "iterator-misuse";
    /// Objects that the program allocates are linked, owned and dropped by their functions.
    ObjectMisuse = "object-misuse";
    /// Kernel pointers in maps are exchanged, not copied.
    KernelPointerMisuse = "kernel-pointer-misuse";
    /// Fields that the kernel manages (locks, timers, lists) are only touched by their functions.
    ManagedField = "managed-field";
    /// What is called back is a function of the right shape, that returns what its caller wants.
    CallbackMisuse = "callback-misuse";
    /// Exceptions are thrown where no one has to be told, and caught by a function of their shape.
    ExceptionMisuse = "exception-misuse";
    /// Pointers that the kernel does not vouch for are not passed where it must.
    UntrustedPointer = "untrusted-pointer";
    /// Tail calls are made where they can be, to programs in a program array.
    TailCallMisuse = "tail-call-misuse";
    /// Global functions take and return what can be verified apart from their callers.
    GlobalFunction = "global-function";
    /// A program or function returns a value, of those that its hook knows.
    ReturnValue = "return-value";

    /// The target's kernel has the program type, the map type, the attach type.
    TypeNotHere = "type-not-here";
    /// What the program attaches to is there, and may be attached to.
    AttachTarget = "attach-target";
    /// The loader has the capability that the program needs.
    MissingCapability = "missing-capability";
    /// Flags fit the program's type and each other.
    ProgramFlags = "program-flags";
    /// Type information that a feature needs is there, and right.
    TypeInformation = "type-information";
    /// What a CO-RE relocation asks for is in the target's types.
    CoreRelocation = "core-relocation";
}

impl Rule {
    /// The rule with a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

/// Prints the name.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
