//! The places at which a recording has something, in words: what was called or read there, and
//! where in the source that is. A recording holds them, so that it can be read without the program.

use skep_abi::Helper;
use skep_isa::{CallTarget, Insn, InsnIndex};
use skep_object::ImageProgram;

use crate::{
    error::place,
    flow::Value,
    plan::{Kfuncs, Plan, What},
};

/// The places of all programs of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites {
    /// By the number of the program.
    pub programs: Vec<ProgramSites>,
    /// The functions of the kernel that they call, by the numbers that they have in its types.
    pub kfuncs: Kfuncs,
}

/// The places of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgramSites {
    /// Its name.
    pub name: String,
    /// Its section.
    pub section: String,
    /// How many words its context has, where the function it was attached to said so.
    pub words: Option<u32>,
    /// Whether it reads its packet by its address.
    pub reads_packet: bool,
    /// By their instruction.
    pub sites: Vec<Site>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The instruction, in the program before it was changed.
    pub insn: u32,
    /// What is called or read: `bpf_get_current_comm`, `load of 4 bytes at +2468`. Equal texts
    /// mean the same in two versions of a program.
    pub what: String,
    /// Where, for people: `opensnoop.bpf.c:78`.
    pub place: String,
}

impl Site {
    /// Whether the bytes of its items begin with the address that they were read from.
    pub fn has_address(&self) -> bool {
        let name = self.what.strip_prefix("bpf_");
        name.is_some_and(crate::calls::reads_memory)
    }
}

impl ProgramSites {
    pub(crate) fn of(
        program: &ImageProgram,
        plan: &Plan,
        kfuncs: &Kfuncs,
        words: Option<u32>,
    ) -> Self {
        let sites = plan.places.iter().map(|found| Site {
            insn: found.insn.0,
            what: describe(plan, found.insn, found.what, kfuncs),
            place: place(program, found.insn),
        });
        Self {
            name: program.name.clone(),
            section: program.section.to_string(),
            words,
            reads_packet: plan.reads_packet,
            sites: sites.collect(),
        }
    }

    /// The place of an instruction.
    pub fn at(&self, insn: u32) -> Option<&Site> {
        let found = self.sites.binary_search_by_key(&insn, |site| site.insn);
        found.ok().and_then(|index| self.sites.get(index))
    }
}

/// What is at a place, in words.
pub(crate) fn describe(plan: &Plan, at: InsnIndex, what: What, kfuncs: &Kfuncs) -> String {
    let (read, base, offset, bytes) = match plan.flow.insns.get(&at) {
        Some(Insn::Call(CallTarget::Helper(id))) => {
            return Helper::by_id(*id).map_or_else(|| id.to_string(), |helper| helper.name.into());
        }
        Some(Insn::Call(CallTarget::Kfunc { btf_id, .. })) => {
            return kfuncs
                .get(btf_id)
                .map_or_else(|| btf_id.to_string(), |kfunc| kfunc.name.clone());
        }
        Some(Insn::Load {
            base, offset, size, ..
        }) => ("load", *base, *offset, size.bytes()),
        Some(Insn::LoadSigned {
            base, offset, size, ..
        }) => ("signed load", *base, *offset, size.bytes()),
        Some(Insn::LoadAcquire {
            base, offset, size, ..
        }) => ("acquiring load", *base, *offset, size.bytes()),
        _ => return "address of a variable".into(),
    };
    let state = plan.flow.states.get(&at);
    match (
        what,
        state.map(|state| state.at(base).moved(Some(offset.into()))),
    ) {
        (What::Field, Some(Value::Context { offset, .. })) => {
            format!("context's {bytes} bytes at {offset}")
        }
        _ => format!("{read} of {bytes} bytes at {offset:+}"),
    }
}
