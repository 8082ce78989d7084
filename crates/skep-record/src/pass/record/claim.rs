//! The ends of a run: it claims an area and copies its context there, functions that it calls find
//! that area, and at its end the area is sent and free again.

use skep_isa::{AluOp, CompareOp, InsnIndex, Reg, Size};
use skep_object::Snippet;

use super::{AREA_SLOT, DEEP, FIRST_SLOT, FULL, NO_WAKEUP, Recorder, helper, imm, item};
use crate::{
    Error, Result,
    area::{self, HEADER, ITEM, LEVELS},
    context::{ContextKind, names_task, nests},
    flow::bit,
    pass::Code,
};

impl Recorder<'_> {
    /// Claims an area and begins it.
    pub(super) fn entry(&self) -> Snippet {
        let mut code = Code::new();
        let kind = self.program.program_type;
        let (context, cpu, level, area) = (Reg::R6, Reg::R7, Reg::R8, Reg::R9);
        code.copy(context, Reg::R1)
            .call(helper::SMP_PROCESSOR_ID)
            .alu_number(
                AluOp::And,
                Reg::R0,
                self.shape.cpus.cast_signed().wrapping_sub(1),
            )
            .copy(cpu, Reg::R0)
            .copy(Reg::R1, cpu);
        self.area(&mut code, area, Reg::R1);
        // Level 1 if a run is under way here, level 2 if that is claimed as well.
        code.load(Size::W, Reg::R3, area, area::CURRENT)
            .set(level, 1)
            .exchange(area, area::BUSY, level)
            .alu_number(AluOp::And, level, 1)
            .copy(Reg::R1, level)
            .alu_number(AluOp::Lsh, Reg::R1, self.level_shift())
            .alu(AluOp::Add, Reg::R1, cpu);
        self.area(&mut code, area, Reg::R1);
        code.set(Reg::R2, 1)
            .exchange(area, area::CLAIM, Reg::R2)
            .alu_number(AluOp::And, Reg::R2, 1)
            .alu(AluOp::Add, level, Reg::R2)
            .copy(Reg::R1, level)
            .alu_number(AluOp::Lsh, Reg::R1, self.level_shift())
            .alu(AluOp::Add, Reg::R1, cpu);
        self.area(&mut code, area, Reg::R1);
        code.alu_number(AluOp::Xor, Reg::R2, 1)
            .store(Size::Dw, Reg::FP, self.slot(InsnIndex(0), AREA_SLOT), area)
            .store(Size::W, area, area::OWN, Reg::R2)
            .store(Size::W, area, area::LEVEL, level)
            .store(Size::W, area, area::CPU, cpu)
            .store(Size::W, area, area::PREVIOUS, Reg::R3)
            .store_number(Size::W, area, area::CUT, 0)
            .store_number(Size::Dw, area, area::ORDER, 0)
            .store_number(Size::W, area, area::PROGRAM, self.index);
        if self.plan.functions_with_places().len() > 1 {
            // Other functions find the area by the level that is noted in the first one.
            code.copy(Reg::R1, cpu);
            self.area(&mut code, Reg::R2, Reg::R1);
            code.store(Size::W, Reg::R2, area::CURRENT, level);
        }
        code.call(helper::KTIME_GET_NS)
            .store(Size::Dw, area, area::TIME, Reg::R0);
        if names_task(kind) {
            code.call(helper::CURRENT_PID_TGID)
                .store(Size::Dw, area, area::TASK, Reg::R0)
                .copy(Reg::R1, area)
                .alu_number(AluOp::Add, Reg::R1, area::COMM.into())
                .set(Reg::R2, 16)
                .call(helper::CURRENT_COMM);
        }
        self.copy_context(&mut code, context, area);
        code.copy(Reg::R1, context);
        code.done()
    }

    /// The first item: the context's bytes, or the packet's.
    fn copy_context(&self, code: &mut Code, context: Reg, area: Reg) {
        let first = item(ITEM);
        let bytes = i32::from(item(ITEM.saturating_mul(2)));
        match self.plan.context {
            ContextKind::Bytes(_) | ContextKind::Words if self.plan.context_len > 0 => {
                let len = self.plan.context_len;
                code.store_number(Size::W, area, first, area::CONTEXT_SITE)
                    .store_number(Size::W, area, first.saturating_add(4), len)
                    .store_number(Size::Dw, area, first.saturating_add(8), 0)
                    .store_number(
                        Size::W,
                        area,
                        area::USED,
                        ITEM.saturating_add(len.next_multiple_of(16)),
                    )
                    .copy(Reg::R1, area)
                    .alu_number(AluOp::Add, Reg::R1, bytes)
                    .set(Reg::R2, len)
                    .copy(Reg::R3, context)
                    .call(helper::PROBE_READ_KERNEL);
            }
            ContextKind::Frame | ContextKind::Buffer => {
                let frame = self.plan.context == ContextKind::Frame;
                if frame {
                    code.load(Size::W, Reg::R3, context, 0)
                        .load(Size::W, Reg::R2, context, 4)
                        .alu(AluOp::Sub, Reg::R2, Reg::R3);
                } else {
                    // __sk_buff.len
                    code.load(Size::W, Reg::R2, context, 0);
                }
                let fits = {
                    code.store(Size::Dw, area, first.saturating_add(8), Reg::R2);
                    let fits = code.jump_if(Reg::R2, CompareOp::Le, imm(self.shape.packet));
                    code.set(Reg::R2, self.shape.packet);
                    fits
                };
                code.land(fits)
                    .store_number(Size::W, area, first, area::PACKET_SITE)
                    .store(Size::W, area, first.saturating_add(4), Reg::R2)
                    .copy(Reg::R1, Reg::R2)
                    .alu_number(AluOp::Add, Reg::R1, 15)
                    .alu_number(AluOp::And, Reg::R1, -16)
                    .alu_number(AluOp::Add, Reg::R1, ITEM.cast_signed())
                    .store(Size::W, area, area::USED, Reg::R1);
                if frame {
                    code.copy(Reg::R1, area)
                        .alu_number(AluOp::Add, Reg::R1, bytes)
                        .call(helper::PROBE_READ_KERNEL);
                } else {
                    // Verifiers before 6.8 learn nothing from what is not equal.
                    let empty = code.jump_if(Reg::R2, CompareOp::Lt, imm(1));
                    code.copy(Reg::R4, Reg::R2)
                        .copy(Reg::R3, area)
                        .alu_number(AluOp::Add, Reg::R3, bytes)
                        .set(Reg::R2, 0)
                        .copy(Reg::R1, context)
                        .call(helper::SKB_LOAD_BYTES)
                        .land(empty);
                }
            }
            _ => {
                code.store_number(Size::W, area, area::USED, 0);
            }
        }
    }

    /// Finds the run's area in a function that is called.
    pub(super) fn enter_function(&self, function: InsnIndex) -> Result<Snippet> {
        if !nests(self.program) {
            return Err(Error::Program {
                program: self.program.name.clone(),
                section: self.program.section.to_string(),
                reason: "a function that it calls looks at the world, and runs of such programs \
                         can overlap; let the function be inlined (__always_inline)"
                    .into(),
            });
        }
        let kept = self.plan.kept_before(function);
        let slot = self.slot(function, FIRST_SLOT);
        let saved = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        let saved = saved.into_iter().filter(|reg| kept & bit(*reg) != 0);
        let places = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];
        let (mut code, mut back) = (Code::new(), Code::new());
        for (index, register) in saved.enumerate() {
            match places.get(index) {
                Some(place) => {
                    code.copy(*place, register);
                    back.copy(register, *place);
                }
                None => {
                    code.store(Size::Dw, Reg::FP, slot, register);
                    back.load(Size::Dw, register, Reg::FP, slot);
                }
            }
        }
        code.call(helper::SMP_PROCESSOR_ID)
            .alu_number(
                AluOp::And,
                Reg::R0,
                self.shape.cpus.cast_signed().wrapping_sub(1),
            )
            .copy(Reg::R1, Reg::R0);
        self.area(&mut code, Reg::R2, Reg::R1);
        code.load(Size::W, Reg::R1, Reg::R2, area::CURRENT)
            .alu_number(AluOp::And, Reg::R1, (LEVELS.wrapping_sub(1)).cast_signed())
            .alu_number(AluOp::Lsh, Reg::R1, self.level_shift())
            .alu(AluOp::Add, Reg::R1, Reg::R0);
        self.area(&mut code, Reg::R2, Reg::R1);
        let area = self.slot(function, AREA_SLOT);
        code.store(Size::Dw, Reg::FP, area, Reg::R2);
        let mut snippet = code.done();
        snippet.append(back.done());
        Ok(snippet)
    }

    /// Before an exit: the area goes out, and is free again.
    pub(super) fn end(&self, at: InsnIndex) -> Snippet {
        let mut code = Code::new();
        let answers = self.plan.kept_before(at) & bit(Reg::R0) != 0;
        let (result, area) = (Reg::R6, Reg::R7);
        match answers {
            true => code.copy(result, Reg::R0),
            false => code.set(result, 0),
        };
        code.load(Size::Dw, area, Reg::FP, self.slot(at, AREA_SLOT))
            .store(Size::Dw, area, area::RESULT, result);
        if self.plan.functions_with_places().len() > 1 {
            code.load(Size::W, Reg::R1, area, area::CPU).alu_number(
                AluOp::And,
                Reg::R1,
                self.shape.cpus.cast_signed().wrapping_sub(1),
            );
            self.area(&mut code, Reg::R2, Reg::R1);
            code.load(Size::W, Reg::R3, area, area::PREVIOUS).store(
                Size::W,
                Reg::R2,
                area::CURRENT,
                Reg::R3,
            );
        }
        code.load(Size::W, Reg::R1, area, area::OWN);
        let foreign = code.jump_if(Reg::R1, CompareOp::Eq, imm(0));
        code.load(Size::Dw, Reg::R1, area, area::ORDER);
        let ordered = code.jump_if(Reg::R1, CompareOp::Ne, imm(0));
        self.turn(&mut code, Reg::R1);
        code.store(Size::Dw, area, area::ORDER, Reg::R1)
            .land(ordered)
            .load(Size::W, Reg::R3, area, area::USED);
        let fits = code.jump_if(Reg::R3, CompareOp::Le, imm(self.shape.items));
        code.set(Reg::R3, 0)
            .store_number(Size::W, area, area::CUT, area::CUT_AREA)
            .land(fits)
            .alu_number(AluOp::Add, Reg::R3, HEADER.cast_signed())
            .copy(Reg::R2, area)
            .map(Reg::R1, self.maps.ring)
            .set(Reg::R4, NO_WAKEUP)
            .call(helper::RINGBUF_OUTPUT)
            .store_number(Size::Dw, area, area::CLAIM, 0)
            .load(Size::W, Reg::R1, area, area::LEVEL);
        let nested = code.jump_if(Reg::R1, CompareOp::Ne, imm(0));
        code.store_number(Size::Dw, area, area::BUSY, 0)
            .land(nested);
        let sent = code.jump_if(Reg::R0, CompareOp::Eq, imm(0));
        code.set(Reg::R2, 1)
            .map_value(Reg::R1, self.maps.counts, 0)
            .add_atomic(Reg::R1, FULL, Reg::R2);
        let lost = code.jump();
        code.land(foreign)
            .set(Reg::R2, 1)
            .map_value(Reg::R1, self.maps.counts, 0)
            .add_atomic(Reg::R1, DEEP, Reg::R2)
            .land(lost)
            .land(sent)
            .copy(Reg::R0, result);
        code.done()
    }
}
