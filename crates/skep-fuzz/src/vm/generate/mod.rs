//! Random programs that a verifier accepts more often than not: each statement leaves the function
//! in a state that any other may follow.
//!
//! Between statements R6 is the context (or what the function has in its place), R7 to R9 are
//! numbers, and the frame's upper 80 bytes are set. R0 to R5 are numbers where `ready` says so.

mod flow;
mod helpers;
mod maps;
mod objects;
mod packet;
mod scalars;
mod text;

use std::collections::BTreeSet;

use skep_abi::ProgramType;
use skep_isa::opcode::*;

use super::{
    Choices,
    case::{Body, Case, MAPS, OUT, PROGRAMS},
    code::{Code, reg::*},
};

/// Locals: eight numbers.
const LOCALS: i16 = -64;
/// A key.
const KEY: i16 = -80;
/// A value.
const VALUE: i16 = -144;
/// Counters of loops, one a level.
const COUNTERS: i16 = -160;
/// A pointer.
const SPILL: i16 = -168;
/// A dynptr.
const DYNPTR: i16 = -184;
/// An iterator.
const ITERATOR: i16 = -192;

/// Kernel functions that programs may call.
pub const KFUNCS: [&str; 17] = [
    "bpf_iter_num_new",
    "bpf_iter_num_next",
    "bpf_iter_num_destroy",
    "bpf_dynptr_adjust",
    "bpf_dynptr_is_null",
    "bpf_dynptr_is_rdonly",
    "bpf_dynptr_size",
    "bpf_strcmp",
    "bpf_strchr",
    "bpf_strchrnul",
    "bpf_strnchr",
    "bpf_strrchr",
    "bpf_strlen",
    "bpf_strnlen",
    "bpf_strspn",
    "bpf_strcspn",
    "bpf_strstr",
];

/// What a host has, so that programs do not ask for more.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// Which of the maps.
    pub maps: Vec<bool>,
    /// Helpers by number, and the type of program that may call them.
    pub helpers: BTreeSet<(ProgramType, u32)>,
    /// The same for kernel functions.
    pub kfuncs: BTreeSet<(ProgramType, &'static str)>,
    /// Types whose programs can be run.
    pub types: Vec<ProgramType>,
}

/// What R6 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sixth {
    Context,
    /// The address of the caller's locals.
    Locals,
    Number,
}

/// A function that others can use, and how.
#[derive(Debug, Clone, Copy)]
enum Role {
    Main,
    /// Called with five numbers.
    Subprogram,
    /// The same, without a frame.
    Leaf,
    /// Called by `bpf_loop` with the round and the locals.
    Round,
    /// Called for each entry with map, key, value and the locals.
    Entry {
        value: u32,
    },
}

struct Generator<'g, 'c, 'b> {
    choices: &'g mut Choices<'b>,
    features: &'c Features,
    program_type: ProgramType,
    /// Functions after the first; what is called has a higher number than its caller.
    roles: Vec<Role>,
    code: Code,
    sixth: Sixth,
    role: Role,
    /// Which of R0 to R5 are numbers.
    ready: u8,
    /// Registers that a loop needs.
    locked: u16,
    loops: usize,
    depth: usize,
    /// Statements left.
    fuel: usize,
    /// Places left at which a verifier must go two ways.
    ways: usize,
}

/// A case of these choices, for a host with these features.
pub fn generate(choices: &mut Choices<'_>, features: &Features) -> Case {
    let program_type = choices.of(&features.types);
    let main = program(choices, features, program_type);
    let has_tails = main.maps.iter().any(|(_, map)| *map == PROGRAMS);
    let count = if has_tails { 1 + choices.below(2) } else { 0 };
    let tails = (0..count)
        .map(|_| program(choices, features, program_type))
        .collect();
    let context = match program_type {
        ProgramType::Syscall => bytes(choices, 64),
        ProgramType::RawTracepoint => bytes(choices, 96),
        _ => Vec::new(),
    };
    let packet = match context.is_empty() {
        true => {
            let len = 14 + choices.below(120);
            packet::packet(choices, len)
        }
        false => Vec::new(),
    };
    Case {
        program_type,
        main,
        tails,
        context,
        packet,
    }
}

fn bytes(choices: &mut Choices<'_>, len: usize) -> Vec<u8> {
    (0..len.div_ceil(8))
        .flat_map(|_| choices.value().to_le_bytes())
        .collect()
}

fn program(choices: &mut Choices<'_>, features: &Features, program_type: ProgramType) -> Body {
    let mut roles = vec![Role::Main];
    for _ in 0..choices.below(4) {
        roles.push(match choices.below(4) {
            0 => Role::Leaf,
            1 => Role::Round,
            2 => Role::Entry { value: 0 },
            _ => Role::Subprogram,
        });
    }
    let mut body = Body::default();
    let mut calls = Vec::new();
    for number in 0..roles.len() {
        let role = match roles[number] {
            Role::Entry { .. } => Role::Entry { value: 16 },
            other => other,
        };
        let fuel = match role {
            Role::Main => 3 + choices.below(22),
            _ => 1 + choices.below(6),
        };
        let mut function = Generator {
            choices,
            features,
            program_type,
            roles: roles.clone(),
            code: Code::default(),
            sixth: Sixth::Number,
            role,
            ready: 0,
            locked: 0,
            loops: 0,
            depth: 0,
            fuel,
            ways: if number == 0 { 8 } else { 1 },
        };
        function.function();
        let code = function.code;
        let start = body.slots.len();
        body.functions.push(start);
        body.maps
            .extend(code.maps.iter().map(|(slot, map)| (slot + start, *map)));
        body.kfuncs
            .extend(code.kfuncs.iter().map(|(slot, name)| (slot + start, *name)));
        calls.extend(
            code.calls
                .iter()
                .map(|(slot, callee)| (slot + start, *callee)),
        );
        body.slots.extend(code.slots);
    }
    for (slot, callee) in &calls {
        body.slots[*slot].imm = body.functions[*callee] as i32 - *slot as i32 - 1;
    }
    without_unused(body, &calls)
}

/// Leaves out the functions that nobody calls, which no kernel takes: they stand behind the others
/// or not, so that what is behind them moves.
fn without_unused(mut body: Body, calls: &[(usize, usize)]) -> Body {
    let count = body.functions.len();
    let mut used = vec![false; count];
    used[0] = true;
    // A callee has a higher number than its callers.
    for function in 0..count {
        let end = body.functions.get(function + 1).copied();
        let range = body.functions[function]..end.unwrap_or(body.slots.len());
        for (_, callee) in calls.iter().filter(|(slot, _)| range.contains(slot)) {
            used[*callee] |= used[function];
        }
    }
    let mut moved = vec![None; body.slots.len()];
    let mut slots = Vec::new();
    let mut functions = Vec::new();
    for (function, used) in used.iter().enumerate() {
        let end = body.functions.get(function + 1).copied();
        let range = body.functions[function]..end.unwrap_or(body.slots.len());
        if *used {
            functions.push(slots.len());
            for slot in range {
                moved[slot] = Some(slots.len());
                slots.push(body.slots[slot]);
            }
        }
    }
    for (slot, callee) in calls {
        let start = moved[body.functions[*callee]];
        if let (Some(slot), Some(start)) = (moved[*slot], start) {
            slots[slot].imm = start as i32 - slot as i32 - 1;
        }
    }
    body.maps = body
        .maps
        .iter()
        .filter_map(|(slot, map)| Some((moved[*slot]?, *map)))
        .collect();
    body.kfuncs = body
        .kfuncs
        .iter()
        .filter_map(|(slot, name)| Some((moved[*slot]?, *name)))
        .collect();
    (body.slots, body.functions) = (slots, functions);
    body
}

impl Generator<'_, '_, '_> {
    fn function(&mut self) {
        match self.role {
            Role::Main => {
                self.sixth = Sixth::Context;
                self.code.copy(R6, R1);
                for register in [R7, R8, R9] {
                    let value = self.choices.value();
                    self.code.set64(register, value);
                }
            }
            Role::Subprogram | Role::Leaf => {
                self.code.copy(R6, R1);
                self.code.copy(R7, R2);
                self.code.copy(R8, R3);
                self.code.copy(R9, R4);
                self.ready = 0b11_1110;
            }
            Role::Round => {
                self.sixth = Sixth::Locals;
                self.code.copy(R6, R2);
                self.code.copy(R7, R1);
                self.code.copy(R8, R1);
                self.code.set(R9, 0);
                self.ready = 0b10;
            }
            Role::Entry { value } => {
                self.sixth = Sixth::Locals;
                self.code.copy(R6, R4);
                self.code.load(BPF_W, R7, R2, 0);
                let offset = self.choices.below(value as usize / 8) as i16 * 8;
                self.code.load(BPF_DW, R8, R3, offset);
                if self.choices.one_in(2) {
                    let imm = self.choices.imm();
                    self.code.store_imm(BPF_W, R3, 4, imm);
                }
                self.code.copy(R9, R8);
            }
        }
        if !matches!(self.role, Role::Leaf) {
            for slot in 0..10_i16 {
                let offset = -8 - 8 * slot;
                match self.choices.below(3) {
                    0 => self.code.store(BPF_DW, FP, offset, R7),
                    _ => {
                        let imm = self.choices.imm();
                        self.code.store_imm(BPF_DW, FP, offset, imm);
                    }
                }
            }
        }
        if let Role::Entry { .. } = self.role {
            // Entries come in any order, so only what does not depend on it may be kept.
            self.code.load(BPF_DW, R1, R6, 0);
            self.code.alu_by(BPF_ADD, R1, R8);
            self.code.alu_by(BPF_ADD, R1, R7);
            self.code.store(BPF_DW, R6, 0, R1);
            self.code.set(R0, 0);
            return self.code.exit();
        }
        self.statements();
        match self.role {
            Role::Main => self.leave_numbers(),
            Role::Round => {
                self.code.load(BPF_DW, R1, R6, 8);
                self.code.alu_by(BPF_XOR, R1, R7);
                self.code.store(BPF_DW, R6, 8, R1);
                self.code.set(R0, 0);
                if self.choices.one_in(3) {
                    let at = self.choices.imm() & 7;
                    let jump = self.code.jump(BPF_JMP | BPF_JNE | BPF_K, R8, 0, at);
                    self.code.set(R0, 1);
                    self.code.land(jump);
                }
            }
            _ => {
                self.code.copy(R0, R7);
                self.code.alu_by(BPF_XOR, R0, R8);
                self.code.alu_by(BPF_ADD, R0, R9);
            }
        }
        self.code.exit();
    }

    /// Puts all numbers where they are compared, and makes R0 of them.
    fn leave_numbers(&mut self) {
        if !self.features.maps[OUT] {
            return self.leave_in_context();
        }
        self.code.map_value(R1, OUT, 0);
        for (number, register) in [R7, R8, R9].into_iter().enumerate() {
            self.code.store(BPF_DW, R1, number as i16 * 8, register);
        }
        for local in 0..8_i16 {
            self.code.load(BPF_DW, R2, FP, LOCALS + local * 8);
            self.code.store(BPF_DW, R1, 24 + local * 8, R2);
        }
        self.code.copy(R0, R7);
        self.code.alu_by(BPF_ADD, R0, R8);
        self.code.alu_by(BPF_XOR, R0, R9);
    }

    /// The same without maps.
    fn leave_in_context(&mut self) {
        for (number, register) in [R7, R8, R9].into_iter().enumerate() {
            self.code.store(BPF_DW, R6, number as i16 * 8, register);
        }
        self.code.set(R0, 0);
        for local in 0..8_i16 {
            self.code.load(BPF_DW, R2, FP, LOCALS + local * 8);
            self.code.alu(BPF_MUL, R0, 31);
            self.code.alu_by(BPF_ADD, R0, R2);
        }
    }

    fn statements(&mut self) {
        while self.fuel > 0 && self.code.here() < 3000 {
            self.fuel -= 1;
            self.statement();
        }
    }

    /// A few statements inside another.
    fn block(&mut self) {
        self.depth += 1;
        let outer = self.fuel;
        self.fuel = outer.min(1 + self.choices.below(4));
        let given = self.fuel;
        self.statements();
        self.fuel = outer - given;
        self.depth -= 1;
    }

    fn statement(&mut self) {
        if matches!(self.role, Role::Leaf) {
            return match self.choices.below(4) {
                0 if self.depth < 2 => self.branch(),
                _ => self.arithmetic(),
            };
        }
        if self.loops > 0 {
            // A verifier goes every way through every round.
            return match self.choices.below(24) {
                0 if self.depth < 2 => self.branch(),
                1 if self.depth < 2 => self.map_lookup(),
                2 if self.loops < 2 => self.counted_loop(),
                3..=7 => self.local(),
                8 => self.local_by_number(),
                9 => self.sixth(),
                10 => self.map_update(),
                11 => self.text(),
                _ => self.arithmetic(),
            };
        }
        match self.choices.below(46) {
            0..=7 => self.arithmetic(),
            8..=11 => self.local(),
            12 => self.local_by_number(),
            13 | 14 => self.sixth(),
            15..=18 if self.depth < 3 => self.branch(),
            19 if self.loops < 2 => self.counted_loop(),
            20 if self.loops == 0 => self.may_goto_loop(),
            21..=26 => self.map_lookup(),
            27 => self.map_direct(),
            28 | 29 => self.map_update(),
            30 => self.map_delete(),
            31 => self.map_queue(),
            32 => self.ring(),
            33 | 34 => self.call(),
            35 => self.callback(),
            36 => self.text(),
            37 => self.packet(),
            38 => self.other_helper(),
            39 => self.tail_call(),
            40 | 41 => self.dynptr(),
            42 => self.iterator(),
            43 | 44 => self.packet(),
            45 => self.text(),
            _ => self.arithmetic(),
        }
    }

    /// Whether a verifier may have to go two ways once more; in a loop that is in every round.
    fn two_ways(&mut self) -> bool {
        let cost = if self.loops > 0 { 4 } else { 1 };
        let may = self.ways >= cost;
        self.ways = self.ways.saturating_sub(cost);
        may
    }

    // ── registers ───────────────────────────────────────────────────────────────────────────

    /// A register that has a number.
    fn number(&mut self) -> u8 {
        let mut all = vec![R7, R8, R9];
        all.extend((R0..=R5).filter(|register| self.ready & (1 << register) != 0));
        if self.sixth == Sixth::Number {
            all.push(R6);
        }
        self.choices.of(&all)
    }

    /// A register with a number that may be changed.
    fn result(&mut self) -> u8 {
        for _ in 0..4 {
            let register = self.number();
            if self.locked & (1 << register) == 0 {
                return register;
            }
        }
        R7
    }

    /// A register whose old value does not matter; it is a number afterwards.
    fn target(&mut self) -> u8 {
        let register = self
            .choices
            .of(&[R7, R8, R9, R7, R8, R9, R0, R1, R2, R3, R4, R5]);
        if self.locked & (1 << register) != 0 {
            return R7;
        }
        if register < R6 {
            self.ready |= 1 << register;
        }
        register
    }

    /// These registers are used for something else.
    fn spoil(&mut self, registers: &[u8]) {
        for register in registers {
            self.ready &= !(1 << register);
        }
    }

    /// After a call, R0 is a number and R1 to R5 are nothing.
    fn called(&mut self) {
        self.ready = 1;
    }

    fn has(&self, helper: u32) -> bool {
        self.features.helpers.contains(&(self.program_type, helper))
    }

    fn has_kfunc(&self, name: &'static str) -> bool {
        self.features.kfuncs.contains(&(self.program_type, name))
    }

    /// A map of those that both hosts have, and this type of program may use.
    fn a_map(&mut self, of: &[usize]) -> Option<usize> {
        let sleeps = self.program_type == ProgramType::Syscall;
        let may = |map: &&usize| self.features.maps[**map] && (MAPS[**map].sleepable || !sleeps);
        let there: Vec<usize> = of.iter().filter(may).copied().collect();
        match there.is_empty() {
            true => None,
            false => Some(self.choices.of(&there)),
        }
    }
}
