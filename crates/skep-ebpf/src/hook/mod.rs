//! Hooks: the attribute of each makes a function a program, and says what it returns.
//!
//! A program is a safe function of its context: `fn name(context: &XdpContext) -> XdpAction`. The
//! kernel sees a function of that name in the section of the hook.
//!
//! What it returns is one of four things:
//!
//! - Hooks that **watch** (`kprobe`, `uprobe`, `usdt`, `tracepoint`, `tp_btf`, `fentry`, `fexit`,
//!   `iter`, `perf_event`, `syscall`, …): nothing, `Result<()>` or a number. The kernel is told 0,
//!   with or without an error: whoever watches changes nothing.
//! - Hooks that **permit** (`lsm`, `fmod_ret`): `Result<()>` or a number. An error is
//!   the answer: the operation fails with it.
//! - Hooks that **decide** (`xdp`, `tc`, `cgroup_skb`, `sk_lookup`, …): a verdict such as
//!   [`XdpAction`], or `Result` of it. An error is a refusal, [`Verdict::ON_ERROR`]: a program that
//!   could not judge lets nothing through.
//! - A function in another's place (`freplace`), and members of structs of operations
//!   (`struct_ops`): what that one returns, or nothing.
//!
//! A program that stands in for another one, in other forms for other kernels, says so:
//! `instead_of = name` in its attribute. The first form that the kernel takes is loaded, the others
//! are not, and `skep run` (and `Loaded::fallbacks`) says which and why. Other loaders leave alone what
//! stands in.
//!
//! ```
//! #![no_std]
//! #![no_main]
//! use skep_ebpf::prelude::*;
//!
//! license!("GPL");
//!
//! #[global]
//! static UNLINKED: u64 = 0;
//!
//! #[fentry("vfs_unlink")]
//! fn typed() {
//!     UNLINKED.add(1);
//! }
//!
//! #[kprobe("vfs_unlink", instead_of = typed)]
//! fn probed() {
//!     UNLINKED.add(1);
//! }
//!
//! #[tracepoint("syscalls/sys_enter_unlinkat", instead_of = probed)]
//! fn traced() {
//!     UNLINKED.add(1);
//! }
//! ```
//!
//! Many hooks have arguments: a program takes them as parameters behind its context, or, where it
//! needs no context, without it. Each attribute says below what they are.

mod connections;
mod packets;
mod points;
mod probes;
mod verdict;

use core::marker::PhantomData;

use crate::context::{Argument, Arguments, Context, SysEnter, SysExit, TracepointContext};
use crate::error::{Error, Result};

pub use connections::*;
pub use packets::*;
pub use points::*;
pub use probes::*;
pub use verdict::{
    Access, Dissected, Handled, Keep, LwtAction, NetfilterVerdict, Parsed, SkAction, TcAction,
    Verdict, XdpAction,
};

/// What a hook that only watches may return.
#[diagnostic::on_unimplemented(
    message = "a program of this hook watches: it returns nothing or `Result<()>`, not `{Self}`",
    label = "leave it away, or make it `Result<()>`"
)]
pub trait Watched {
    /// The number that the kernel is told.
    fn code(self) -> i32;
}

impl Watched for () {
    #[inline(always)]
    fn code(self) -> i32 {
        0
    }
}

impl Watched for i32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self
    }
}

impl Watched for Result<()> {
    #[inline(always)]
    fn code(self) -> i32 {
        0
    }
}

impl Watched for Result<i32> {
    #[inline(always)]
    fn code(self) -> i32 {
        self.unwrap_or(0)
    }
}

/// What a hook that permits may return.
#[diagnostic::on_unimplemented(
    message = "a program of this hook permits: it returns `Result<()>` or `i32`, not `{Self}`",
    label = "make it `Result<()>`: an error refuses"
)]
pub trait Permitted {
    /// The number that the kernel is told.
    fn code(self) -> i32;
}

impl Permitted for i32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self
    }
}

impl Permitted for Result<()> {
    #[inline(always)]
    fn code(self) -> i32 {
        match self {
            Ok(()) => 0,
            Err(error) => error.number(),
        }
    }
}

impl Permitted for Result<i32> {
    #[inline(always)]
    fn code(self) -> i32 {
        self.unwrap_or_else(Error::number)
    }
}

/// What a hook that decides by a verdict `V` may return.
#[diagnostic::on_unimplemented(
    message = "a program of this hook decides: it returns `{V}` or `Result<{V}>`, not `{Self}`",
    label = "make it `{V}`"
)]
pub trait Decided<V> {
    /// The number that the kernel is told.
    fn code(self) -> i32;
}

impl<V: Verdict> Decided<V> for V {
    #[inline(always)]
    fn code(self) -> i32 {
        self.number()
    }
}

impl<V: Verdict> Decided<V> for Result<V> {
    #[inline(always)]
    fn code(self) -> i32 {
        self.unwrap_or(V::ON_ERROR).number()
    }
}

impl<V: Verdict> Decided<V> for i32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self
    }
}

/// A member of a struct of operations: what [`#[struct_ops]`](struct_ops) makes of a function.
#[doc(alias = "BPF_MAP_TYPE_STRUCT_OPS")]
pub type Operation = extern "C" fn(*mut u64) -> i32;

/// What a function that answers for the kernel may return.
#[diagnostic::on_unimplemented(
    message = "a member of a struct of operations returns a number, `bool` or nothing, not `{Self}`",
    label = "make it what the kernel's member returns"
)]
pub trait Answered {
    /// The number that the kernel is told.
    fn code(self) -> i32;
}

impl Answered for () {
    #[inline(always)]
    fn code(self) -> i32 {
        0
    }
}

impl Answered for i32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self
    }
}

impl Answered for u32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self.cast_signed()
    }
}

impl Answered for bool {
    #[inline(always)]
    fn code(self) -> i32 {
        self.into()
    }
}

impl Answered for Result<()> {
    #[inline(always)]
    fn code(self) -> i32 {
        Permitted::code(self)
    }
}

impl Answered for Result<i32> {
    #[inline(always)]
    fn code(self) -> i32 {
        Permitted::code(self)
    }
}

/// What a function in the place of another program's may return.
#[diagnostic::on_unimplemented(
    message = "a function of a program returns a number, not `{Self}`",
    label = "make it what the replaced function returns, such as `i32`"
)]
pub trait Number {
    /// The number, in the low bits.
    fn code(self) -> i32;
}

impl Number for i32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self
    }
}

impl Number for u32 {
    #[inline(always)]
    fn code(self) -> i32 {
        self.cast_signed()
    }
}

impl<V: Verdict> Number for V {
    #[inline(always)]
    fn code(self) -> i32 {
        self.number()
    }
}

/// That a program's parameter is of the type of its hook's context.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the context of this hook, which is `{Expected}`",
    label = "make it `{Expected}`"
)]
pub trait Is<Expected> {}

/// A context as the kernel handed it over, for the time of one run.
#[doc(hidden)]
pub struct Entered<C> {
    raw: *mut u8,
    context: PhantomData<C>,
}

/// What a program begins with.
#[doc(hidden)]
#[inline(always)]
pub fn enter<Expected: Context, C: Context + Is<Expected>>(raw: *mut Expected::Raw) -> Entered<C> {
    Entered {
        raw: raw.cast(),
        context: PhantomData,
    }
}

/// The same for a function in another's place, whose context is what it says.
#[doc(hidden)]
#[inline(always)]
pub fn enter_any<C: Context>(raw: *mut C::Raw) -> Entered<C> {
    Entered {
        raw: raw.cast(),
        context: PhantomData,
    }
}

impl<C: Context> Entered<C> {
    /// The context. Only called once, by what the attributes write.
    #[doc(hidden)]
    #[inline(always)]
    #[expect(clippy::mut_from_ref, reason = "there is one call of it")]
    pub fn context(&self) -> &mut C {
        // SAFETY: a context type has no size: the reference is an address, and reading through it
        // is what its methods do.
        unsafe { &mut *self.raw.cast() }
    }

    /// The argument of a place, where the hook has arguments.
    #[doc(hidden)]
    #[inline(always)]
    pub fn argument<T: Argument>(&self, index: usize) -> T
    where
        C: Arguments,
    {
        let context: &C = self.context();
        T::from_raw(context.raw_argument(index))
    }

    /// An argument of a system call.
    #[doc(hidden)]
    #[inline(always)]
    pub fn syscall_argument<T: Argument>(&self, index: usize) -> T {
        // SAFETY: as `context`; the attribute is for such a record.
        let context = unsafe { &*self.raw.cast::<TracepointContext<SysEnter>>() };
        context.argument(index)
    }

    /// What a system call returned.
    #[doc(hidden)]
    #[inline(always)]
    pub fn syscall_returned<T: Argument>(&self, _: usize) -> T {
        // SAFETY: as above.
        let context = unsafe { &*self.raw.cast::<TracepointContext<SysExit>>() };
        T::from_raw(context.returned().cast_unsigned())
    }
}
