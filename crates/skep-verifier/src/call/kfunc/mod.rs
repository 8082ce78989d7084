//! Calls of kernel functions: found in BTF, their arguments by type and suffix, what they do, what
//! they give.
//!
//! `descriptor` is what a function's BTF says, `callable` whether it may be called here, `arguments`
//! looks at R1 to R5, `structures` at those that are kernel structures, `objects` at those that are
//! objects of the program in lists and trees; `sections` is what opens and closes (RCU, preemption,
//! interrupts), `effects` what a call changes beside R0, and `returns` is R0.

mod arguments;
mod callable;
mod descriptor;
mod effects;
mod exceptions;
mod objects;
mod returns;
mod sections;
mod structures;

use std::rc::Rc;

use skep_isa::Reg;

pub(crate) use self::descriptor::{Descriptor, Special};
use crate::{
    MapId,
    call::{DynptrArgument, Place},
    state::{BtfRef, DynptrKind, Id},
    verifier::{Result, Verifier},
    walk::Next,
};

/// The registers that arguments stand in.
const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// One call of a kernel function, as far as it is understood.
#[derive(Debug)]
struct Call {
    function: Rc<Descriptor>,
    /// The constant argument.
    constant: Option<u64>,
    /// The reference that came with an argument.
    reference: Id,
    /// The argument that is given back.
    released: Option<Reg>,
    /// Bytes of the memory that is returned, and whether it is read-only.
    result_size: Option<(u64, bool)>,
    /// A dynptr that was made before.
    dynptr: Option<DynptrArgument>,
    /// Where a dynptr is made, and of what.
    makes: Option<(Place, DynptrKind)>,
    /// The iterator.
    iterator: Option<Place>,
    /// The function to call back.
    callback: Option<u32>,
    /// Whether an argument is an object that the program owns.
    owning: bool,
    /// The object that is passed.
    object: Option<BtfRef>,
    /// What a list or tree contains: the objects, and where their node is.
    contains: Option<Contents>,
    /// The map, and which one of those looked up in a map of maps.
    map: Option<(MapId, bool, u32)>,
}

/// What a list or tree contains.
#[derive(Debug, Clone, Copy)]
struct Contents {
    object: BtfRef,
    node: u32,
}

impl Verifier<'_> {
    /// Does a call of the kernel function with a BTF id.
    pub(crate) fn call_kfunc(&mut self, btf_id: u32) -> Result<Next> {
        let function = self.kernel_function(btf_id, self.insn)?;
        self.check_call_here(&function)?;
        if matches!(
            function.special,
            Special::ResilientLock | Special::ResilientLockIrq
        ) {
            self.push_failed_lock()?;
        }
        let mut call = Call {
            function,
            constant: None,
            reference: Id::NONE,
            released: None,
            result_size: None,
            dynptr: None,
            makes: None,
            iterator: None,
            callback: None,
            owning: false,
            object: None,
            contains: None,
            map: None,
        };
        self.check_kernel_arguments(&mut call)?;
        self.kernel_call_back(&call)?;
        self.open_and_close(&call)?;
        self.kernel_effects(&mut call)?;
        if call.function.special == Special::Throw {
            self.throw()?;
            return Ok(Next::End);
        }
        self.kernel_result(&call)?;
        Ok(Next::Fall)
    }
}
