//! Calls of helpers: whether they may be called, their arguments, what they do, what they give.
//!
//! What a helper is (its prototype, who may call it, which maps it takes) stands in `skep-abi`;
//! here is what that means for the state. `access` says whether the call may be made here at all,
//! `arguments` looks at R1 to R5, `kinds` knows which registers are good for which argument,
//! `maps` whether helper and map fit, `effects` what a call changes, `returns` what stands in R0.

mod access;
mod arguments;
mod callbacks;
mod custom;
mod dynptrs;
mod effects;
mod fields;
mod format;
pub(crate) mod id;
mod kinds;
mod maps;
mod returns;
mod structures;

use skep_abi::{Helper, HelperProperties};
use skep_isa::Reg;

pub(crate) use self::fields::KernelPointer;
use crate::{
    Map, MapId,
    call::{DynptrArgument, Place},
    state::{DynptrKind, Id, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
    walk::Next,
};

/// The registers that a call leaves unreadable, and that arguments stand in.
pub(crate) const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// One call of a helper, as far as it is understood.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) helper: &'static Helper,
    /// The map argument.
    pub(super) map: Option<MapArgument<'a>>,
    /// The reference that came with an argument.
    pub(super) reference: Id,
    /// The argument that is given away.
    pub(super) released: Option<Reg>,
    /// The most that the last size argument can be, in bytes.
    pub(super) size: u64,
    /// The bytes that are asked for (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    pub(super) allocation: u32,
    /// The index that is looked up, if it is one constant.
    pub(super) index: Option<u64>,
    /// The subprogram to call back.
    pub(super) callback: Option<u32>,
    /// The per-CPU variable.
    pub(super) percpu: Option<Register>,
    /// The kernel pointer's field that is exchanged.
    pub(super) kernel_pointer: Option<KernelPointer>,
    /// The dynptr argument.
    pub(super) dynptr: Option<DynptrArgument>,
    /// Where a dynptr is made, and of what.
    pub(super) makes: Option<(Place, DynptrKind)>,
}

/// The map argument of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct MapArgument<'a> {
    pub(super) map: &'a Map,
    pub(super) id: MapId,
    /// Whether it was looked up in the map with this id.
    pub(super) inner: bool,
    pub(super) uid: u32,
}

impl<'a> Verifier<'a> {
    /// The parameters that a helper has for this program.
    fn parameters(&self, helper: &Helper) -> &'static [skep_abi::Parameter] {
        helper.parameters_for(self.effective_type(), self.program.attach_type)
    }

    /// Does a call of the helper with a number.
    pub(crate) fn call_helper(&mut self, id: u32) -> Result<Next> {
        if let Some(custom) = self.custom_helper(id) {
            return self.call_custom(custom);
        }
        let helper = self.callable(id)?;
        self.check_sections(helper)?;
        let mut call = Call {
            helper,
            map: None,
            reference: Id::NONE,
            released: None,
            size: 0,
            allocation: 0,
            index: None,
            callback: None,
            percpu: None,
            kernel_pointer: None,
            dynptr: None,
            makes: None,
        };
        self.check_arguments(&mut call)?;
        self.before(&mut call)?;
        if let Some((place, kind)) = call.makes {
            self.make_dynptr(place, kind, Id::NONE);
        }
        let result = self.result(&call)?;
        self.forget_caller_saved();
        *self.state.register_mut(Reg::R0) = result;
        let writes_packet = id == id::DYNPTR_WRITE
            && call
                .dynptr
                .is_some_and(|dynptr| matches!(dynptr.kind, DynptrKind::Skb | DynptrKind::SkbMeta));
        if helper.properties.contains(HelperProperties::CHANGES_PACKET) || writes_packet {
            self.forget_packet();
        }
        if id == id::TAIL_CALL && self.state.depth() > 0 {
            // What is called runs in the function's place, and returns to its caller.
            self.push(self.insn + 1)?;
            *self.state.register_mut(Reg::R0) = Register::unknown();
            return self.exit();
        }
        Ok(Next::Fall)
    }

    /// Makes all pointers into the packet unusable, since it may have moved.
    pub(crate) fn forget_packet(&mut self) {
        self.invalidate(|register| {
            register.is_packet()
                || register.kind == Kind::PacketEnd
                || register.flags.contains(PointerFlags::PACKET_SLICE)
        });
    }
}
