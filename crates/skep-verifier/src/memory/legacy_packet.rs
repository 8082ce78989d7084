//! Legacy packet loads (`BPF_LD_ABS`, `BPF_LD_IND`): out of classic BPF, for sockets and traffic
//! control.

use skep_abi::ProgramType;
use skep_btf::Kind as TypeKind;
use skep_isa::Reg;

use super::words;
use crate::{
    Rule,
    state::{Kind, Register},
    verifier::{Result, Verifier},
    walk::Next,
};

impl Verifier<'_> {
    /// `BPF_LD_ABS` and `BPF_LD_IND`: a number in network byte order out of the packet, or the end
    /// of the program.
    pub(crate) fn load_packet(&mut self, index: Option<Reg>) -> Result<Next> {
        let allowed = matches!(
            self.effective_type(),
            ProgramType::SocketFilter | ProgramType::SchedCls | ProgramType::SchedAct
        );
        if !allowed {
            return Err(self
                .reject(
                    Rule::InvalidInstruction,
                    format!(
                        "programs of type {} have no packet for the legacy packet loads",
                        self.effective_type()
                    ),
                )
                .help(
                    "read the packet through `data` and `data_end`, or with bpf_skb_load_bytes",
                ));
        }
        self.read(Reg::R6)?;
        self.nothing_held_at_packet_load()?;
        let context = self.read(Reg::R6)?;
        if context.kind != Kind::Context || context.offset != 0 {
            let what = words::kind(context);
            return Err(self
                .reject(
                    Rule::ArgumentType,
                    format!("a legacy packet load takes the context in r6, which holds {what}"),
                )
                .of(Reg::R6));
        }
        if let Some(index) = index {
            self.read(index)?;
        }
        let frame = self.state.frame_mut();
        for register in &mut frame.registers[1..=5] {
            *register = Register::UNINIT;
        }
        let mut value = Register::unknown();
        value.subreg_def = u32::try_from(self.insn).map_or(0, |insn| insn.saturating_add(1));
        frame.registers[0] = value;
        if self.state.depth() == 0 {
            return Ok(Next::Fall);
        }
        // Outside of the packet, the function ends here and returns 0 to its caller.
        self.check_returns_number()?;
        self.push(self.insn + 1)?;
        self.state.frame_mut().registers[0] = Register::constant(0);
        self.exit()
    }

    /// A function that a legacy packet load can end returns a number.
    fn check_returns_number(&self) -> Result {
        let number = self.state.frame().subprogram as usize;
        let function = self.program.functions.get(number);
        let number = function.is_some_and(|function| {
            let returned = || {
                let btf = self.program.btf.as_deref()?;
                let TypeKind::Function(function) = btf.type_by_id(function.type_id?).ok()?.kind()
                else {
                    return None;
                };
                let prototype = btf.type_by_id(function.prototype).ok()?.kind();
                let TypeKind::FunctionPrototype(prototype) = prototype else {
                    return None;
                };
                btf.skip_modifiers(prototype.return_type).ok()
            };
            matches!(
                returned().map(|returned| returned.kind()),
                Some(TypeKind::Int(_) | TypeKind::Enum(_) | TypeKind::Enum64(_))
            )
        });
        if number {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ReturnValue,
                "a legacy packet load can end the function it is in, which does not return a number",
            )
            .help("let the function return `int`"))
    }

    /// A legacy packet load may end the program: nothing may be left behind.
    fn nothing_held_at_packet_load(&self) -> Result {
        let what = if !self.state.held.is_empty() {
            "a reference or lock is held"
        } else if self.state.rcu != 0 {
            "it is inside bpf_rcu_read_lock"
        } else if self.state.preempt != 0 {
            "preemption is off"
        } else {
            return Ok(());
        };
        Err(self.reject(
            Rule::ReferenceLeak,
            format!("a legacy packet load can end the program, and here {what}"),
        ))
    }
}
