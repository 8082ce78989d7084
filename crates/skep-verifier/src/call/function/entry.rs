//! Where paths begin: the program itself with its context, and each global function that it calls
//! with what its prototype says.

use std::rc::Rc;

use skep_abi::ProgramType;
use skep_btf::{Kind as TypeKind, KindTag};
use skep_isa::Reg;

use crate::{
    state::{Frame, Kind, Register, State},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Sets the state to the start of the program: its context in R1.
    pub(crate) fn enter_program(&mut self) -> Result {
        let mut frame = Frame::new(0, 0, 0);
        frame.registers[usize::from(Reg::R1.number())] = Register::pointer(Kind::Context);
        self.start_at(0);
        self.state.frames.push(Rc::new(frame));
        if self.program.program_type == ProgramType::StructOps {
            for argument in self.owned_arguments() {
                let reference = self.acquire_reference(0);
                self.attach.references.push((argument, reference));
            }
        }
        Ok(())
    }

    /// The arguments of an operation that the program gets for its own: the stub function of the
    /// operation names them `…__ref`.
    fn owned_arguments(&self) -> Vec<usize> {
        let stub = self.struct_ops_name().and_then(|operations| {
            let btf = self.btf(self.attach.btf)?;
            let stub = format!("{operations}__{}", self.attach.name);
            let stub = btf.type_by_id(btf.find(&stub, KindTag::Function)?).ok()?;
            let TypeKind::Function(function) = stub.kind() else {
                return None;
            };
            match btf.type_by_id(function.prototype).ok()?.kind() {
                TypeKind::FunctionPrototype(prototype) => Some(prototype),
                _ => None,
            }
        });
        let parameters = stub.into_iter().flat_map(|stub| stub.params().enumerate());
        parameters
            .filter(|(_, parameter)| parameter.name().ends_with("__ref"))
            .map(|(place, _)| place)
            .collect()
    }

    /// Goes to where a function begins that nothing calls, without a frame yet.
    pub(super) fn start_at(&mut self, slot: usize) {
        self.state = State {
            in_sleepable: self.program.is_sleepable(),
            ..State::empty()
        };
        self.insn = slot;
        self.previous = slot;
    }
}
