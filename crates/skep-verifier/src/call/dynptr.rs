//! Dynptrs: two slots of stack that a function makes, others read and write through, and that may
//! hold a reference. What they give (slices) dies with them.

use skep_isa::Reg;

use super::place::Place;
use crate::{
    Rule,
    state::{DynptrKind, Id, Kind, PointerFlags, Register, SlotObject},
    verifier::{Result, Verifier},
};

/// A dynptr that is passed to a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DynptrArgument {
    /// What it points into.
    pub(crate) kind: DynptrKind,
    /// Its id, which its slices have as [`Register::parent`].
    pub(crate) id: Id,
    /// The reference that it holds, if it does.
    pub(crate) reference: Id,
}

impl DynptrKind {
    /// Whether it holds a reference.
    pub(crate) fn holds_reference(self) -> bool {
        matches!(self, Self::Ringbuf | Self::File)
    }

    /// Whether its bytes are those of a packet, which move when the packet changes.
    pub(crate) fn is_packet(self) -> bool {
        matches!(self, Self::Skb | Self::Xdp | Self::SkbMeta)
    }

    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Local => "local memory",
            Self::Ringbuf => "ring buffer",
            Self::Skb => "skb",
            Self::Xdp => "xdp",
            Self::SkbMeta => "skb metadata",
            Self::File => "file",
        }
    }
}

const WHAT: &str = "a dynptr";

impl Verifier<'_> {
    /// Checks that a register points to a dynptr that was made; of a certain kind, if `want` says
    /// so; and to one of this program's own if the function changes the dynptr itself
    /// (`mutable`).
    pub(crate) fn check_dynptr_argument(
        &mut self,
        reg: Reg,
        want: Option<DynptrKind>,
        mutable: bool,
    ) -> Result<DynptrArgument> {
        let register = self.reg(reg);
        let dynptr = match register.kind {
            Kind::Dynptr { kind } => {
                if register.offset != 0 || register.value.as_constant() != Some(0) {
                    return Err(self
                        .reject(Rule::DynptrMisuse, "a dynptr is passed with an offset")
                        .of(reg));
                }
                if mutable {
                    return Err(self
                        .reject(
                            Rule::DynptrMisuse,
                            "a dynptr that was given to this function can't be changed by it",
                        )
                        .of(reg));
                }
                DynptrArgument {
                    kind,
                    id: register.id,
                    reference: register.reference,
                }
            }
            Kind::Stack { .. } => self.dynptr_on_stack(reg)?,
            _ => {
                return Err(self
                    .reject(
                        Rule::ArgumentType,
                        "a dynptr is wanted: a `struct bpf_dynptr` on the stack",
                    )
                    .of(reg));
            }
        };
        if let Some(want) = want
            && want != dynptr.kind
        {
            return Err(self
                .reject(
                    Rule::DynptrMisuse,
                    format!(
                        "a dynptr of kind \"{}\" is wanted, this is of kind \"{}\"",
                        want.name(),
                        dynptr.kind.name()
                    ),
                )
                .of(reg));
        }
        Ok(dynptr)
    }

    fn dynptr_on_stack(&self, reg: Reg) -> Result<DynptrArgument> {
        let place = self.object_place(reg, 2, Rule::DynptrMisuse, WHAT)?;
        let first = self.object_at(place.frame, place.first);
        let second = self.object_at(place.frame, place.first - 1);
        match (first, second) {
            (
                Some(SlotObject::Dynptr {
                    kind,
                    id,
                    reference,
                    first: true,
                    ..
                }),
                Some(SlotObject::Dynptr { first: false, .. }),
            ) => Ok(DynptrArgument {
                kind,
                id,
                reference,
            }),
            _ => Err(self
                .reject(Rule::DynptrMisuse, "no dynptr was made here, or no more")
                .of(reg)
                .help("make it first (`bpf_dynptr_from_mem`, `bpf_ringbuf_reserve_dynptr` …), and don't write over it")),
        }
    }

    /// Checks that a register points to stack where a function can make a dynptr. One that is there
    /// is overwritten, unless it holds a reference.
    pub(crate) fn check_dynptr_space(&mut self, reg: Reg) -> Result<Place> {
        if matches!(self.reg(reg).kind, Kind::Dynptr { .. }) {
            return Err(self
                .reject(
                    Rule::DynptrMisuse,
                    "a dynptr is to be made here: give a `struct bpf_dynptr` on the stack",
                )
                .of(reg));
        }
        let place = self.object_place(reg, 2, Rule::DynptrMisuse, WHAT)?;
        self.write_object_space(place)
            .map_err(|error| error.of(reg))?;
        Ok(place)
    }

    /// Makes a dynptr where [`check_dynptr_space`](Self::check_dynptr_space) was. `shares`: the
    /// reference of the one that it is a clone of; else one is taken if the kind holds one.
    pub(crate) fn make_dynptr(&mut self, place: Place, kind: DynptrKind, shares: Id) {
        let id = self.new_id();
        let reference = if !kind.holds_reference() {
            Id::NONE
        } else if shares.is_some() {
            shares
        } else {
            self.acquire_reference(self.insn)
        };
        self.put_object(place, |first| SlotObject::Dynptr {
            kind,
            read_only: false,
            id,
            reference,
            first,
        });
    }

    /// Ends a dynptr that holds a reference, with its clones and slices (submit, discard).
    pub(crate) fn release_dynptr(&mut self, reg: Reg) -> Result {
        if matches!(self.reg(reg).kind, Kind::Dynptr { .. }) {
            return Err(self
                .reject(
                    Rule::DynptrMisuse,
                    "a dynptr that was given to this function is not its to give back",
                )
                .of(reg));
        }
        let dynptr = self.dynptr_on_stack(reg)?;
        if !dynptr.reference.is_some() {
            return Err(self
                .reject(
                    Rule::ReferenceRelease,
                    "this dynptr holds nothing that could be given back",
                )
                .of(reg));
        }
        let reference = dynptr.reference;
        self.release_reference(reference)?;
        for frame in 0..self.state.frames.len() {
            let slots = self.state.frames[frame].stack.slots.len();
            for first in 1..slots {
                if let Some(SlotObject::Dynptr {
                    reference: other,
                    first: true,
                    ..
                }) = self.object_at(frame, first)
                    && other == reference
                {
                    self.remove_object(Place {
                        frame,
                        first,
                        count: 2,
                    });
                }
            }
        }
        Ok(())
    }

    /// What a write does to a dynptr that a slot is part of: it is gone, with its slices. One that
    /// holds a reference can't be overwritten.
    pub(crate) fn destroy_dynptr(&mut self, frame: usize, slot: usize) -> Result {
        let Some(SlotObject::Dynptr {
            kind, id, first, ..
        }) = self.object_at(frame, slot)
        else {
            return Ok(());
        };
        if kind.holds_reference() {
            return Err(self
                .reject(
                    Rule::DynptrMisuse,
                    "a dynptr that holds a reference is overwritten",
                )
                .help("submit or discard it first"));
        }
        self.remove_object(Place {
            frame,
            first: if first { slot } else { slot + 1 },
            count: 2,
        });
        self.invalidate(|register| {
            matches!(register.kind, Kind::Mem { .. }) && register.parent == id
        });
        Ok(())
    }

    /// The memory of a dynptr that a function gives: null if it is shorter than `size`.
    pub(crate) fn dynptr_slice(&mut self, dynptr: &DynptrArgument, size: u32) -> Register {
        let mut slice = Register::pointer(Kind::Mem { size }).with(PointerFlags::MAYBE_NULL);
        slice.id = self.new_id();
        slice.parent = dynptr.id;
        slice.reference = dynptr.reference;
        if dynptr.kind.is_packet() {
            slice.flags |= PointerFlags::PACKET_SLICE;
        }
        slice
    }
}
