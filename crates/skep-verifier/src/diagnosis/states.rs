//! States in the syntax of the kernel's log at level 2, as those know it who read such logs:
//! `R1=ctx() R2=scalar(umax=255,var_off=(0x0; 0xff)) fp-8=mmmmmmmm`.

use std::fmt::{self, Write as _};

use skep_isa::InsnIndex;
use skep_object::Target;

use super::{Place, trace::Path};
use crate::{
    MapId, Options, Program, Rejection, Scalar,
    state::{
        Byte, DynptrKind, Frame, IteratorState, Kind, PointerFlags, Register, Slot, SlotObject,
        State,
    },
    verifier::Verifier,
};

/// Above this, constants are printed as hexadecimal numbers.
const DECIMAL: u64 = u16::MAX as u64;

/// The path to the rejection that [`verify`](crate::verify) gave of a program, in the syntax of the
/// kernel's log at level 2: lines of source, instructions, and behind each what it changed. Of a
/// long path, the end.
#[must_use]
pub fn states(
    program: &Program<'_>,
    target: &Target,
    options: &Options,
    rejection: &Rejection,
) -> String {
    let options = Options {
        log: false,
        count: false,
        ..options.clone()
    };
    let mut out = String::new();
    if let Some(path) = Path::to(program, target, &options, rejection) {
        // Writing to a string can't fail.
        let _ = write_path(&mut out, program, &path);
    }
    out
}

fn write_path(out: &mut String, program: &Program<'_>, path: &Path<'_>) -> fmt::Result {
    let left_out = path.insns.len().saturating_sub(path.steps.len());
    if left_out > 0 {
        writeln!(out, "({left_out} instructions before are left out)")?;
    }
    let verifier = &path.verifier;
    let mut source = None;
    for (at, step) in path.steps.iter().enumerate() {
        let place = Place::of(
            program,
            InsnIndex(u32::try_from(step.insn).unwrap_or(u32::MAX)),
        );
        if source != place.source {
            if let Some(source) = &place.source {
                let file = source.file.rsplit('/').next().unwrap_or_default();
                writeln!(out, "; {} @ {file}:{}", source.text.trim(), source.line)?;
            }
            source.clone_from(&place.source);
        }
        if at == 0 {
            let frame = step.state.frame();
            writeln!(
                out,
                "{}:{}",
                step.insn,
                ShowFrame {
                    verifier,
                    frame,
                    before: None
                }
            )?;
        }
        write!(out, "{}: {}", step.insn, place.text)?;
        if let Some(next) = path.steps.get(at + 1) {
            changes(out, verifier, &step.state, &next.state)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What an instruction changed, behind it; a whole frame where another function runs.
fn changes(
    out: &mut String,
    verifier: &Verifier<'_>,
    before: &State,
    after: &State,
) -> fmt::Result {
    let frame = after.frame();
    let same = before.frames.len() == after.frames.len();
    let before = same.then(|| before.frame());
    let mut text = String::new();
    if !same || after.frames.len() > 1 {
        write!(text, " frame{}:", after.depth())?;
    }
    let shown = ShowFrame {
        verifier,
        frame,
        before,
    }
    .to_string();
    if shown.is_empty() {
        return Ok(());
    }
    write!(out, "\t;{text}{shown}")
}

/// The registers and slots of a frame, or those that differ from what was there before.
struct ShowFrame<'s, 'a> {
    verifier: &'s Verifier<'a>,
    frame: &'s Frame,
    before: Option<&'s Frame>,
}

impl fmt::Display for ShowFrame<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, register) in self.frame.registers.iter().enumerate() {
            let before = self.before.and_then(|frame| frame.registers.get(number));
            let untouched =
                before.map_or(register.kind == Kind::Uninit, |before| before == register);
            if untouched {
                continue;
            }
            let shown = self.verifier.show(register);
            write!(f, " R{number}={shown}")?;
        }
        for (number, slot) in self.frame.stack.slots.iter().enumerate() {
            let before = self.before.and_then(|frame| frame.stack.slots.get(number));
            let empty = slot.bytes == [Byte::Uninit; 8];
            if empty || before == Some(slot) {
                continue;
            }
            let offset = (number + 1) * 8;
            write!(
                f,
                " fp-{offset}={}",
                ShowSlot {
                    verifier: self.verifier,
                    slot
                }
            )?;
        }
        Ok(())
    }
}

struct ShowSlot<'s, 'a> {
    verifier: &'s Verifier<'a>,
    slot: &'s Slot,
}

impl fmt::Display for ShowSlot<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.slot.is_spill() {
            return self.verifier.show(&self.slot.spilled).fmt(f);
        }
        match &self.slot.object {
            Some(SlotObject::Dynptr { kind, id, .. }) => {
                return write!(f, "dynptr_{}(id={})", dynptr(*kind), id.0);
            }
            Some(SlotObject::Iterator {
                state,
                depth,
                reference,
                ..
            }) => {
                let state = match state {
                    IteratorState::Active => "active",
                    IteratorState::Drained => "drained",
                };
                return write!(
                    f,
                    "iter(ref_id={},state={state},depth={depth})",
                    reference.0
                );
            }
            Some(SlotObject::IrqFlag { reference, .. }) => {
                return write!(f, "irq(ref_id={})", reference.0);
            }
            _ => {}
        }
        // The kernel has the highest byte first.
        for byte in self.slot.bytes.iter().rev() {
            f.write_char(match byte {
                Byte::Uninit => '?',
                Byte::Spill => 'r',
                Byte::Misc => 'm',
                Byte::Zero => '0',
                Byte::Object => 'd',
            })?;
        }
        Ok(())
    }
}

impl<'a> Verifier<'a> {
    /// A register in the log's syntax.
    fn show<'s>(&'s self, register: &'s Register) -> ShowRegister<'s, 'a> {
        ShowRegister {
            verifier: self,
            register,
        }
    }
}

struct ShowRegister<'s, 'a> {
    verifier: &'s Verifier<'a>,
    register: &'s Register,
}

impl fmt::Display for ShowRegister<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let register = self.register;
        if register.precise && register.is_scalar() {
            f.write_char('P')?;
        }
        match (register.kind, register.as_constant()) {
            (Kind::Uninit, _) => return f.write_char('?'),
            (Kind::Scalar, Some(constant)) => return number(f, constant),
            (Kind::Stack { .. }, _) if register.value.as_constant() == Some(0) => {
                return write!(f, "fp{}", register.offset);
            }
            _ => {}
        }
        self.name(f)?;
        let mut list = Members::default();
        if register.id.is_some() {
            let id = register.id.0;
            list.add(if register.linked {
                format!("id={id}+{}", register.offset)
            } else {
                format!("id={id}")
            });
        }
        if register.reference.is_some() {
            list.add(format!("ref_obj_id={}", register.reference.0));
        }
        if let Some(map) =
            map_of(register.kind).and_then(|map| self.verifier.program.maps.get(map.0 as usize))
        {
            list.add(format!(
                "map={},ks={},vs={}",
                map.name, map.key_size, map.value_size
            ));
        }
        if register.is_pointer() && register.offset != 0 {
            list.add(format!("off={}", register.offset));
        }
        if register.is_packet() {
            list.add(format!("r={}", register.range));
        }
        if let Kind::Mem { size } = register.kind {
            list.add(format!("sz={size}"));
        }
        match register.value.as_constant() {
            Some(0) => {}
            Some(constant) => list.add(format!("imm={:#x}", constant)),
            None => bounds(&register.value, &mut list),
        }
        write!(f, "({})", list.text)
    }
}

impl ShowRegister<'_, '_> {
    /// The kind of value, with its flags before and behind it.
    fn name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Register { kind, flags, .. } = *self.register;
        for (flag, prefix) in [
            (PointerFlags::READ_ONLY, "rdonly_"),
            (PointerFlags::RINGBUF, "ringbuf_"),
            (PointerFlags::USER, "user_"),
            (PointerFlags::PERCPU, "percpu_"),
            (PointerFlags::UNTRUSTED, "untrusted_"),
            (PointerFlags::TRUSTED, "trusted_"),
            (PointerFlags::RCU, "rcu_"),
        ] {
            if flags.contains(flag) {
                f.write_str(prefix)?;
            }
        }
        f.write_str(match kind {
            Kind::Uninit => "?",
            Kind::Scalar => "scalar",
            Kind::Context => "ctx",
            Kind::ConstMap { .. } => "map_ptr",
            Kind::MapKey { .. } => "map_key",
            Kind::MapValue { .. } => "map_value",
            Kind::Stack { .. } => "fp",
            Kind::PacketMeta => "pkt_meta",
            Kind::Packet => "pkt",
            Kind::PacketEnd => "pkt_end",
            Kind::FlowKeys => "flow_keys",
            Kind::Socket => "sock",
            Kind::SockCommon => "sock_common",
            Kind::TcpSock => "tcp_sock",
            Kind::XdpSock => "xdp_sock",
            Kind::TracepointBuffer => "tp_buffer",
            Kind::Btf(_) => "ptr_",
            Kind::Mem { .. } => "mem",
            Kind::Buffer => "buf",
            Kind::Function { .. } => "func",
            Kind::Dynptr { .. } => "dynptr_ptr",
            Kind::Arena => "arena",
            Kind::JumpTarget { .. } => "insn",
        })?;
        if let Kind::Btf(one) = kind {
            let found = self.verifier.btf(one.btf);
            let found = found.and_then(|btf| btf.type_by_id(one.type_id).ok());
            f.write_str(found.as_ref().map_or("?", |found| found.name()))?;
        }
        if flags.contains(PointerFlags::MAYBE_NULL) {
            f.write_str(match kind {
                Kind::Btf(_) => "or_null_",
                _ => "_or_null",
            })?;
        }
        Ok(())
    }
}

/// The map that a kind of value has.
fn map_of(kind: Kind) -> Option<MapId> {
    match kind {
        Kind::ConstMap { map, .. } | Kind::MapKey { map } | Kind::MapValue { map, .. } => Some(map),
        _ => None,
    }
}

fn dynptr(kind: DynptrKind) -> &'static str {
    match kind {
        DynptrKind::Any => "any",
        DynptrKind::Local => "local",
        DynptrKind::Ringbuf => "ringbuf",
        DynptrKind::Skb => "skb",
        DynptrKind::Xdp => "xdp",
        DynptrKind::SkbMeta => "skb_meta",
        DynptrKind::File => "file",
    }
}

/// Members in parentheses.
#[derive(Default)]
struct Members {
    text: String,
}

impl Members {
    fn add(&mut self, member: impl fmt::Display) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        // Writing to a string can't fail.
        let _ = write!(self.text, "{member}");
    }
}

/// The bounds of a number that say something; equal ones together.
fn bounds(value: &Scalar, list: &mut Members) {
    let signed = |value: i64| value.cast_unsigned();
    let lower = [
        ("smin", signed(value.smin), value.smin == i64::MIN),
        ("umin", value.umin, value.umin == 0),
        (
            "smin32",
            signed(value.s32_min.into()),
            value.s32_min == i32::MIN,
        ),
        ("umin32", value.u32_min.into(), value.u32_min == 0),
    ];
    let upper = [
        ("smax", signed(value.smax), value.smax == i64::MAX),
        ("umax", value.umax, value.umax == u64::MAX),
        (
            "smax32",
            signed(value.s32_max.into()),
            value.s32_max == i32::MAX,
        ),
        ("umax32", value.u32_max.into(), value.u32_max == u32::MAX),
    ];
    for side in [lower, upper] {
        let mut done = [false; 4];
        for at in 0..side.len() {
            let (name, bound, says_nothing) = side[at];
            if done[at] || says_nothing {
                continue;
            }
            let mut names = name.to_owned();
            for (other, (name, same, says_nothing)) in side.iter().enumerate().skip(at + 1) {
                if *same == bound && !says_nothing {
                    done[other] = true;
                    let _ = write!(names, "={name}");
                }
            }
            list.add(format_args!("{names}={}", Number(bound)));
        }
    }
    if value.bits != crate::Tnum::UNKNOWN {
        list.add(format_args!(
            "var_off=({:#x}; {:#x})",
            value.bits.value, value.bits.mask
        ));
    }
}

struct Number(u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        number(f, self.0)
    }
}

/// A number as the log has them: small ones as they are, others in hexadecimal.
fn number(f: &mut fmt::Formatter<'_>, value: u64) -> fmt::Result {
    let signed = value.cast_signed();
    if signed.unsigned_abs() <= DECIMAL {
        write!(f, "{signed}")
    } else {
        write!(f, "{value:#x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Scalar, expect: &str) {
        let mut list = Members::default();
        bounds(&value, &mut list);
        assert_eq!(list.text, expect);
    }

    #[test]
    fn bounds_are_written_as_the_kernel_does() {
        check(Scalar::UNKNOWN, "");
        let mut byte = Scalar::UNKNOWN;
        byte.bits = crate::Tnum {
            value: 0,
            mask: 0xff,
        };
        (byte.smin, byte.umin, byte.s32_min, byte.u32_min) = (0, 0, 0, 0);
        (byte.smax, byte.umax, byte.s32_max, byte.u32_max) = (255, 255, 255, 255);
        check(
            byte,
            "smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff)",
        );
        let mut wide = Scalar::UNKNOWN;
        (wide.umin, wide.umax) = (70_000, 0x1_0000_0000);
        check(wide, "umin=0x11170,umax=0x100000000");
        assert_eq!(Number((-7_i64).cast_unsigned()).to_string(), "-7");
    }
}
