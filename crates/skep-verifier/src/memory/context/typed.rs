//! Contexts of typed arguments: those of a function, a tracepoint, a hook or an operation, as its
//! prototype in BTF says.

use skep_abi::{AttachType, IteratorArgument, ProgramType, TracepointArgument};
use skep_btf::{Btf, Kind as Type, KindTag, TypeId};

use super::super::{Visit, structure::tag_flags};
use crate::{
    AttachTarget, Rejection, Rule,
    state::{BtfRef, BtfSource, Kind, PointerFlags, Register},
    verifier::{Result, Verifier},
};

/// Bytes of the arguments of a function at most: twelve of eight bytes.
const ARGUMENTS: i32 = 12 * 8;

/// One argument, or the result.
struct Argument {
    /// Its type.
    type_id: TypeId,
    /// Its place; that of the result is behind the last argument.
    number: usize,
    /// Whether it is the result.
    result: bool,
    /// Whether its name says that it may be null.
    nullable: bool,
}

impl Verifier<'_> {
    pub(super) fn reach_arguments(&mut self, visit: Visit) -> Result<Register> {
        if visit.is_write() {
            return Err(self.context_rejection(visit, "arguments are read-only"));
        }
        let (offset, size) = (visit.offset, visit.size as i32);
        if !(0..ARGUMENTS).contains(&offset) || offset % size != 0 {
            return Err(self.context_rejection(visit, "there is no argument"));
        }
        if offset % 8 != 0 {
            return Err(self.context_rejection(visit, "arguments are 8 bytes apart"));
        }
        let source = self.attach.btf;
        let Some(prototype) = self.attach.prototype else {
            return self.argument_of_program(visit);
        };
        let Some(btf) = self.btf(source).cloned() else {
            return Err(self.context_rejection(visit, "the types of its target are not there"));
        };
        let Some(argument) = self.find_argument(&btf, prototype, offset as u32) else {
            return Err(self.no_argument(visit));
        };
        if argument.result {
            self.check_result(&btf, &argument, visit)?;
        }
        let found = match btf.skip_modifiers(argument.type_id) {
            Ok(found) => found,
            Err(_) => return Err(self.no_argument(visit)),
        };
        match found.kind() {
            Type::Int(_) | Type::Enum(_) | Type::Enum64(_) | Type::Struct(_) => {
                Ok(Register::unknown())
            }
            // A hook that gives nothing has no result to read.
            Type::Pointer { target } => {
                if visit.size != 8 {
                    return Err(self.context_rejection(visit, "pointers are read by 8 bytes"));
                }
                self.pointer_argument(&btf, source, &argument, target, visit)
            }
            _ => Err(self.context_rejection(visit, "it is neither a number nor a pointer")),
        }
    }

    /// Of a function of another program, arguments are numbers and contexts.
    fn argument_of_program(&mut self, visit: Visit) -> Result<Register> {
        let Some(AttachTarget::Program { btf, function, .. }) = &self.program.attach else {
            return Err(self.context_rejection(visit, "nothing is known about its arguments"));
        };
        let prototype = match btf.type_by_id(*function).map(|found| found.kind()) {
            Ok(Type::Function(function)) => function.prototype,
            _ => {
                return Err(
                    self.context_rejection(visit, "the other program's types are not there")
                );
            }
        };
        let Some(argument) = self.find_argument(btf, prototype, visit.offset as u32) else {
            return Err(self.no_argument(visit));
        };
        if argument.result {
            self.check_result(btf, &argument, visit)?;
        }
        let target = match btf
            .skip_modifiers(argument.type_id)
            .map(|found| found.kind())
        {
            Ok(Type::Int(_) | Type::Enum(_) | Type::Enum64(_) | Type::Struct(_)) => {
                return Ok(Register::unknown());
            }
            Ok(Type::Pointer { target }) if visit.size == 8 => btf.skip_modifiers(target),
            _ => return Err(self.no_argument(visit)),
        };
        let name = match &target {
            Ok(target) if matches!(target.kind(), Type::Void | Type::Int(_)) => {
                return Ok(Register::unknown());
            }
            Ok(target) => target.name(),
            Err(_) => "",
        };
        // The kernel's own structure stands where the program has the one of the uapi header.
        let own = match name {
            "__sk_buff" => "sk_buff",
            "xdp_md" => "xdp_buff",
            _ => "",
        };
        match self.kernel_structure(own) {
            Some(of) => Ok(self.structure_pointer(of, PointerFlags::empty())),
            None => Err(self.context_rejection(
                visit,
                "it is a pointer to something that is neither a number nor a packet's context",
            )),
        }
    }

    #[cold]
    fn no_argument(&self, visit: Visit) -> Box<Rejection> {
        let name = &self.attach.name;
        self.reject(
            Rule::ContextAccess,
            format!("`{name}` has no argument {} to read", visit.offset / 8 + 1),
        )
        .of(visit.base)
    }

    /// The argument at an offset. Structures by value take as many slots as they need.
    fn find_argument(&self, btf: &Btf, prototype: TypeId, offset: u32) -> Option<Argument> {
        let Type::FunctionPrototype(prototype) = btf.type_by_id(prototype).ok()?.kind() else {
            return None;
        };
        // Tracepoints have a first argument of the kernel's own.
        let skipped = usize::from(self.is_typed_tracepoint());
        let mut end = 0_u32;
        for (number, parameter) in prototype.params().skip(skipped).enumerate() {
            if parameter.is_variadic() {
                return None;
            }
            let size = u32::try_from(btf.size_of(parameter.type_id).ok()?).ok()?;
            end = end.checked_add(size.checked_next_multiple_of(8)?)?;
            if offset < end {
                return Some(Argument {
                    type_id: parameter.type_id,
                    number,
                    result: false,
                    nullable: parameter.name().ends_with("__nullable"),
                });
            }
        }
        (offset == end).then(|| Argument {
            type_id: prototype.return_type,
            number: prototype.params().len() - skipped.min(prototype.params().len()),
            result: true,
            nullable: false,
        })
    }

    fn is_typed_tracepoint(&self) -> bool {
        self.program.program_type == ProgramType::Tracing
            && self.program.attach_type == Some(AttachType::TraceRawTp)
    }

    /// Whether the result may be read where the program runs.
    fn check_result(&self, btf: &Btf, argument: &Argument, visit: Visit) -> Result {
        let attach_type = self.program.attach_type;
        let known = match attach_type {
            Some(AttachType::TraceFexit | AttachType::LsmMac | AttachType::LsmCgroup) => true,
            Some(AttachType::ModifyReturn) => {
                let result = btf.skip_modifiers(argument.type_id);
                matches!(result.map(|result| result.kind()), Ok(Type::Int(int)) if int.size <= 8)
            }
            Some(AttachType::TraceFsession) => true,
            Some(_) => false,
            None => self.program.program_type == ProgramType::Lsm,
        };
        if known {
            return Ok(());
        }
        Err(self.no_argument(visit))
    }

    fn pointer_argument(
        &mut self,
        btf: &Btf,
        source: BtfSource,
        argument: &Argument,
        target: TypeId,
        visit: Visit,
    ) -> Result<Register> {
        let to = match btf.skip_modifiers(target) {
            Ok(to) => to,
            Err(_) => return Err(self.no_argument(visit)),
        };
        let iterator = self.program.program_type == ProgramType::Tracing
            && self.program.attach_type == Some(AttachType::TraceIter);
        if iterator && let Some(given) = self.iterator_argument(visit.offset as u32) {
            return Ok(given);
        }
        match to.kind() {
            Type::Void | Type::Int(_) => return Ok(Register::unknown()),
            Type::Struct(_) | Type::Union(_) => {}
            _ => {
                return Err(self.context_rejection(
                    visit,
                    "it is a pointer to something that is neither a structure nor a number",
                ));
            }
        }
        let mut flags = PointerFlags::empty();
        if self.arguments_are_trusted() {
            flags |= PointerFlags::TRUSTED;
        }
        if argument.nullable && !argument.result {
            flags |= PointerFlags::MAYBE_NULL;
        }
        if self.is_typed_tracepoint() {
            let name = self.attach.name.trim_start_matches("btf_trace_");
            match skep_abi::tracepoint_argument(name, argument.number) {
                Some(TracepointArgument::Nullable) => flags |= PointerFlags::MAYBE_NULL,
                Some(TracepointArgument::MaybeError) => return Ok(Register::unknown()),
                None => {
                    let module = matches!(source, BtfSource::Module(_));
                    if module && !skep_abi::tracepoint_is_known(name) {
                        flags |= PointerFlags::MAYBE_NULL;
                    }
                }
            }
        }
        let of_map = visit.offset == 8 && to.name() == "bpf_map";
        if iterator && visit.offset >= 8 && !of_map {
            // An iterator that nothing is known about gives null at its end.
            flags |= PointerFlags::MAYBE_NULL;
        }
        flags |= tag_flags(btf, target) - PointerFlags::RCU;
        let mut type_id = to.id();
        if self.struct_ops_name() == Some("tcp_congestion_ops")
            && to.name() == "sock"
            && let Some(tcp) = btf.find("tcp_sock", KindTag::Struct)
        {
            type_id = tcp;
        }
        if let Some(more) = self.operation_argument(btf, argument) {
            flags |= more;
        }
        let of = BtfRef {
            btf: source,
            type_id,
        };
        let mut pointer = self.structure_pointer(of, flags);
        let mut owned = self.attach.references.iter();
        if let Some((_, reference)) = owned.find(|(number, _)| *number == argument.number) {
            if !self.state.held.iter().any(|held| held.id == *reference) {
                return Err(self.context_rejection(visit, "the program has given it away"));
            }
            pointer.reference = *reference;
        }
        Ok(pointer)
    }

    /// Whether the hook vouches for its arguments.
    fn arguments_are_trusted(&self) -> bool {
        match self.program.program_type {
            ProgramType::Tracing => matches!(
                self.program.attach_type,
                Some(AttachType::TraceRawTp | AttachType::TraceIter)
            ),
            ProgramType::Lsm => skep_abi::lsm_arguments_are_trusted(&self.attach.name),
            ProgramType::StructOps => true,
            _ => false,
        }
    }

    fn iterator_argument(&mut self, offset: u32) -> Option<Register> {
        let nullable = PointerFlags::MAYBE_NULL;
        let (name, flags) = match skep_abi::iterator_argument(&self.attach.name, offset)? {
            IteratorArgument::OrNull(name) => (name, nullable),
            IteratorArgument::TrustedOrNull(name) => (name, nullable | PointerFlags::TRUSTED),
            IteratorArgument::BufferOrNull => return Some(self.loaded_pointer(Kind::Buffer, true)),
            IteratorArgument::ReadOnlyBufferOrNull => {
                let buffer = self.loaded_pointer(Kind::Buffer, true);
                return Some(buffer.with(PointerFlags::READ_ONLY));
            }
            _ => return None,
        };
        let of = self.kernel_structure(name)?;
        Some(self.structure_pointer(of, flags))
    }

    /// A structure of the kernel's own BTF.
    pub(crate) fn kernel_structure(&self, name: &str) -> Option<BtfRef> {
        Some(BtfRef {
            btf: BtfSource::Kernel,
            type_id: self.kernel_struct(name)?,
        })
    }

    /// The name of the structure of operations that a `struct_ops` program is for.
    pub(crate) fn struct_ops_name(&self) -> Option<&str> {
        if self.program.program_type != ProgramType::StructOps {
            return None;
        }
        let Some(AttachTarget::Kernel { type_id, .. }) = &self.program.attach else {
            return None;
        };
        let found = self.btf(self.attach.btf)?.type_by_id(*type_id).ok()?;
        Some(found.name())
    }

    /// What the stub function of an operation says about an argument that its prototype does not:
    /// names of arguments with `__nullable` there.
    fn operation_argument(&self, btf: &Btf, argument: &Argument) -> Option<PointerFlags> {
        let operations = self.struct_ops_name()?;
        if operations == "sched_ext_ops"
            && argument.number == 1
            && matches!(self.attach.name.as_str(), "dispatch" | "yield")
        {
            return Some(PointerFlags::MAYBE_NULL);
        }
        let stub = format!("{operations}__{}", self.attach.name);
        let stub = btf.type_by_id(btf.find(&stub, KindTag::Function)?).ok()?;
        let Type::Function(function) = stub.kind() else {
            return None;
        };
        let Type::FunctionPrototype(prototype) = btf.type_by_id(function.prototype).ok()?.kind()
        else {
            return None;
        };
        let parameter = prototype.params().get(argument.number)?;
        parameter
            .name()
            .ends_with("__nullable")
            .then_some(PointerFlags::MAYBE_NULL)
    }

    /// The contexts of netfilter programs: the hook's state, and the packet.
    pub(super) fn reach_netfilter(&mut self, visit: Visit) -> Result<Register> {
        let name = match (visit.offset, visit.size, visit.is_write()) {
            (0, 8, false) => "nf_hook_state",
            (8, 8, false) => "sk_buff",
            _ => {
                return Err(self.context_rejection(
                    visit,
                    "it has two pointers, `state` at offset 0 and `skb` at offset 8, which are read",
                ));
            }
        };
        match self.kernel_structure(name) {
            Some(of) => Ok(self.structure_pointer(of, PointerFlags::TRUSTED)),
            None => Err(self.context_rejection(visit, "the kernel's types are not there")),
        }
    }
}
