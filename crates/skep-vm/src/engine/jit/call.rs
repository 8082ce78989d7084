//! Calls: of helpers, of the program's own functions, and of the machine.

use cranelift_codegen::ir::{
    AbiParam, ExtFuncData, ExternalName, InstBuilder as _, MemFlags, Signature, UserExternalName,
    Value,
    condcodes::IntCC,
    types::{I32, I64},
};
use skep_host::Errno;
use skep_isa::{CallTarget, Insn, InsnIndex, NarrowSize, Reg};

use super::{
    access::flags,
    function::{NO_ARGUMENTS, Translator, hot, signature},
    shims,
};
use crate::{
    engine::{ArrayValues, FRAME},
    run::Run,
};

/// Where a run has the number of its CPU.
const CPU: i32 = std::mem::offset_of!(Run<'static>, cpu) as i32;

impl Translator<'_> {
    /// Calls a function of the machine: the run, then `arguments`.
    pub(super) fn shim(
        &mut self,
        address: usize,
        arguments: &[Value],
        answers: usize,
    ) -> Vec<Value> {
        let mut signature = Signature::new(self.call_conv);
        signature.params = vec![AbiParam::new(I64); arguments.len() + 1];
        signature.returns = vec![AbiParam::new(I64); answers];
        let signature = self.b.import_signature(signature);
        let address = self.b.ins().iconst(I64, address as i64);
        let mut all = vec![self.run];
        all.extend_from_slice(arguments);
        let call = self.b.ins().call_indirect(signature, address, &all);
        self.b.inst_results(call).to_vec()
    }

    pub(super) fn call(&mut self, at: InsnIndex, insn: &Insn) -> Result<(), Errno> {
        match insn {
            Insn::Call(CallTarget::Subprogram { .. }) => {
                let callee = insn
                    .subprogram(at)
                    .and_then(|start| self.code.function_at(start))
                    .ok_or(Errno::EOPNOTSUPP)?;
                self.call_function(at, callee);
            }
            _ => match self.facts.lookup(at) {
                // What is checked is not found by its address alone.
                Some(array) if !self.checked => self.look_up(array),
                _ => return self.call_helper(at),
            },
        }
        Ok(())
    }

    fn arguments(&mut self) -> [Value; 5] {
        [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5].map(|register| self.get(register))
    }

    /// `bpf_map_lookup_elem` in an array, as the kernel's verifier writes it out, too.
    fn look_up(&mut self, array: ArrayValues) {
        let key = self.get(Reg::R2);
        let key = self.b.ins().uload32(flags(), key, 0);
        let count = i64::from(array.count);
        let below = IntCC::UnsignedLessThan;
        let mut inside = self.b.ins().icmp_imm(below, key, count);
        let offset = self.b.ins().imul_imm(key, array.stride as i64);
        let start = self.b.ins().iconst(I64, array.start as i64);
        let mut value = self.b.ins().iadd(start, offset);
        if let Some((cpus, area)) = array.areas {
            let flags = MemFlags::trusted();
            let cpu = self.b.ins().uload32(flags, self.run, CPU);
            let has = self.b.ins().icmp_imm(below, cpu, i64::from(cpus));
            inside = self.b.ins().band(inside, has);
            let area = self.b.ins().imul_imm(cpu, area as i64);
            value = self.b.ins().iadd(value, area);
        }
        let nothing = self.b.ins().iconst(I64, 0);
        let found = self.b.ins().select(inside, value, nothing);
        self.set(Reg::R0, found);
    }

    fn call_helper(&mut self, at: InsnIndex) -> Result<(), Errno> {
        let code = self.code;
        let index = code.call_index(at).ok_or(Errno::EOPNOTSUPP)?;
        let call = code.call(index).ok_or(Errno::EOPNOTSUPP)?;
        self.store_budget();
        self.store_hot(self.frame, hot!(frame));
        let index = self.b.ins().iconst(I32, index as i64);
        self.b
            .ins()
            .store(MemFlags::trusted(), index, self.run, hot!(call));
        let arguments = self.arguments();
        let answer = self.shim(call.shim as *const () as usize, &arguments, 2);
        let (value, status) = (answer[0], answer[1]);
        let (cold, next) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(status, cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let place = self.b.ins().iconst(I64, i64::from(at.0));
        self.shim(shims::stopped as *const () as usize, &[status, place], 0);
        self.b.ins().return_(&[value, status]);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        self.load_budget();
        self.set(Reg::R0, value);
        Ok(())
    }

    fn call_function(&mut self, at: InsnIndex, callee: u32) {
        let name = UserExternalName::new(0, callee);
        let name = self.b.func.declare_imported_user_function(name);
        let signature = signature(self.code, self.call_conv);
        let takes_more = signature.params.len() > 7;
        let signature = self.b.import_signature(signature);
        let function = self.b.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: true,
        });
        self.store_budget();
        let frame = self.b.ins().iadd_imm(self.frame, -i64::from(FRAME as u32));
        let mut arguments = vec![self.run];
        arguments.extend(self.arguments());
        arguments.push(frame);
        if takes_more {
            arguments.push(match self.passed {
                Some(slot) => self.b.ins().stack_addr(I64, slot, 0),
                None => {
                    let none = (&raw const NO_ARGUMENTS).addr();
                    self.b.ins().iconst(I64, none as i64)
                }
            });
        }
        let call = self.b.ins().call(function, &arguments);
        let answer = self.b.inst_results(call).to_vec();
        let (cold, out, next) = (self.cold_block(), self.cold_block(), self.b.create_block());
        let value = self.b.append_block_param(next, I64);
        self.b
            .ins()
            .brif(answer[1], cold, &[], next, &[answer[0].into()]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let place = self.b.ins().iconst(I64, i64::from(at.0));
        let returned = shims::returned as *const () as usize;
        let second = self.shim(returned, &[answer[1], place], 2);
        self.b
            .ins()
            .brif(second[1], out, &[], next, &[second[0].into()]);
        self.b.switch_to_block(out);
        self.b.seal_block(out);
        self.b.ins().return_(&second);
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        self.load_budget();
        self.set(Reg::R0, value);
        // What a callee leaves in the registers of arguments is nobody's business.
        let zero = self.b.ins().iconst(I64, 0);
        for register in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.set(register, zero);
        }
    }

    /// A legacy packet load, which ends the function when it is out of the packet.
    pub(super) fn load_packet(&mut self, size: NarrowSize, offset: Value) {
        let context = self.get(Reg::R6);
        let bytes = self.b.ins().iconst(I64, i64::from(size.bytes()));
        let load = shims::load_packet as *const () as usize;
        let answer = self.shim(load, &[context, offset, bytes], 2);
        let (cold, next) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(answer[1], cold, &[], next, &[]);
        self.b.switch_to_block(cold);
        self.b.seal_block(cold);
        let zero = self.b.ins().iconst(I64, 0);
        self.set(Reg::R0, zero);
        self.exit();
        self.b.switch_to_block(next);
        self.b.seal_block(next);
        self.set(Reg::R0, answer[0]);
    }
}
