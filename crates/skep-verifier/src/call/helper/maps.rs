//! Whether a helper and a map fit, and which maps a program may use at all.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_isa::Reg;

use super::{Call, id};
use crate::{
    Map, Rule,
    state::{FieldKind, Kind, Register},
    verifier::{Result, Verifier},
};

impl Verifier<'_> {
    /// Checks that a helper works on a map.
    pub(super) fn check_map_helper(&self, call: &Call<'_>, map: &Map) -> Result {
        let helper = call.helper;
        if !helper.takes_map(map.map_type) {
            let message = format!(
                "{helper} does not work on `{}`, which is a map of type {}",
                map.name, map.map_type
            );
            let rejection = self.reject(Rule::MapHelperMismatch, message);
            return Err(match helper.map_types() {
                Some(types) => rejection.help(format!("it works on maps of type {}", list(types))),
                None => rejection,
            });
        }
        let changes = matches!(
            helper.id,
            id::MAP_UPDATE_ELEM | id::MAP_DELETE_ELEM | id::MAP_PUSH_ELEM | id::MAP_POP_ELEM
        );
        if !changes {
            return Ok(());
        }
        if matches!(map.map_type, MapType::Sockmap | MapType::Sockhash)
            && !helper.changes_sockets(self.program.program_type, self.program.attach_type)
        {
            return Err(self.reject(
                Rule::MapHelperMismatch,
                format!(
                    "programs of type {} may not change `{}`, a map of type {}, by {helper}",
                    self.program.program_type, map.name, map.map_type
                ),
            ));
        }
        if map.flags.contains(MapCreateFlags::RDONLY_PROG) {
            return Err(self.reject(
                Rule::ReadOnlyWrite,
                format!(
                    "`{}` is read-only to programs, and {helper} changes it",
                    map.name
                ),
            ));
        }
        Ok(())
    }

    /// Whether a map that is passed beside another argument which is in a map is the same.
    pub(super) fn check_map_is_of(&self, call: &Call<'_>, reg: Reg, register: &Register) -> Result {
        let (Some(before), Kind::ConstMap { map, inner, uid }) = (call.map, register.kind) else {
            return Ok(());
        };
        if (before.id, before.inner) == (map, inner) && before.uid == uid {
            return Ok(());
        }
        Err(self
            .reject(
                Rule::ArgumentType,
                format!(
                    "{reg} of {} must be the map that r1 points into, `{}`",
                    call.helper, before.map.name
                ),
            )
            .of(reg))
    }

    /// The index that a key holds, where the kernel makes something of it: a constant on the stack,
    /// for arrays, since 6.14.
    pub(super) fn constant_index(&mut self, map: &Map, reg: Reg) -> Result<Option<u64>> {
        if !matches!(map.map_type, MapType::Array | MapType::PercpuArray)
            || map.key_size != 4
            || !self.since(6, 14)
            || !self.options.bpf
        {
            return Ok(None);
        }
        let register = self.reg(reg);
        let (Kind::Stack { frame }, Some(0)) = (register.kind, register.value.as_constant()) else {
            return Ok(None);
        };
        self.constant_on_stack(usize::from(frame), register.offset, 4)
    }

    /// The constant that some bytes of stack hold, if it is one; what was spilled there decides
    /// something then.
    fn constant_on_stack(&mut self, frame: usize, offset: i32, size: u8) -> Result<Option<u64>> {
        use crate::state::{Byte, Stack};
        if offset >= 0 {
            return Ok(None);
        }
        let (number, first) = Stack::place(offset);
        let Some(slot) = self
            .state
            .frames
            .get(frame)
            .and_then(|frame| frame.stack.slot(number))
        else {
            return Ok(None);
        };
        let Some(bytes) = slot.bytes.get(first..first + usize::from(size)) else {
            return Ok(None);
        };
        if bytes.iter().all(|byte| *byte == Byte::Zero) {
            return Ok(Some(0));
        }
        // A spill of four bytes or more that begins here.
        let spill = bytes.iter().all(|byte| *byte == Byte::Spill)
            && (first == 0 || slot.bytes[first - 1] != Byte::Spill);
        let whole = slot
            .bytes
            .iter()
            .filter(|byte| **byte == Byte::Spill)
            .count()
            == usize::from(size);
        if !spill || !whole || !slot.spilled.is_scalar() {
            return Ok(None);
        }
        let Some(value) = slot.spilled.as_constant() else {
            return Ok(None);
        };
        self.mark_slot_precise(frame, number)?;
        Ok(Some(value))
    }

    /// Checks that the program may use the maps that it refers to.
    pub(crate) fn check_maps(&self) -> Result {
        let mut storages = [false; 2];
        let mut arenas = 0;
        for map in &self.program.maps {
            self.check_map(map)?;
            match map.map_type {
                MapType::CgroupStorage | MapType::PercpuCgroupStorage => {
                    let place = usize::from(map.map_type == MapType::PercpuCgroupStorage);
                    if std::mem::replace(&mut storages[place], true) {
                        return Err(self.reject(
                            Rule::MapNotAllowed,
                            format!("a program uses only one map of type {}", map.map_type),
                        ));
                    }
                }
                MapType::Arena => arenas += 1,
                _ => {}
            }
        }
        if arenas > 1 {
            return Err(self.reject(Rule::MapNotAllowed, "a program uses only one arena"));
        }
        Ok(())
    }

    fn check_map(&self, map: &Map) -> Result {
        use ProgramType as P;
        let program = self.program.program_type;
        let tracing = matches!(
            program,
            P::Kprobe | P::Tracepoint | P::PerfEvent | P::RawTracepoint | P::RawTracepointWritable
        );
        let kind = map.fields.find(|kind| match kind {
            FieldKind::ListHead { .. } | FieldKind::TreeRoot { .. } => tracing,
            FieldKind::SpinLock | FieldKind::ResilientSpinLock => {
                tracing
                    || program == P::SocketFilter
                    || (self.program.is_sleepable() && !self.since(6, 6))
            }
            // Newer ones put off what can't be done where these programs run.
            FieldKind::Timer | FieldKind::Workqueue => tracing && !self.since(7, 0),
            _ => false,
        });
        if let Some(field) = kind {
            let what = crate::memory::words::field(&field.kind);
            return Err(self.reject(
                Rule::MapNotAllowed,
                format!(
                    "{}programs of type {program} may not use `{}`, because of {what} in its values",
                    if self.program.is_sleepable() { "sleepable " } else { "" },
                    map.name
                ),
            ));
        }
        if map.map_type == MapType::StructOps {
            return Err(self.reject(
                Rule::MapNotAllowed,
                format!(
                    "programs don't use maps of type {}, as `{}` is",
                    map.map_type, map.name
                ),
            ));
        }
        if self.program.is_sleepable() && !map.map_type.is_for_sleepable() {
            return Err(self.reject(
                Rule::MapNotAllowed,
                format!(
                    "sleepable programs may not use `{}`, a map of type {}",
                    map.name, map.map_type
                ),
            ));
        }
        Ok(())
    }
}

fn list(types: &[MapType]) -> String {
    let names: Vec<String> = types.iter().map(ToString::to_string).collect();
    names.join(", ")
}
