//! Programs of all kinds, run once on an input of the embedder's (`Vm::fire_program`).

use std::{error::Error, sync::Arc};

use skep_abi::ProgramType;
use skep_host::{Errno, Host, ProgramFd, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};
use skep_vm::{Config, Engine, FaultKind, Input, Lent, Ran, Redirect, TaskInfo, UserMemory, Vm};

type Tested = Result<(), Box<dyn Error>>;

fn load(vm: &Vm, kind: ProgramType, text: &str) -> Result<ProgramFd, Box<dyn Error>> {
    let bytes = encode_slots(&assemble(text)?, Endian::NATIVE);
    let mut request = ProgramLoad::new(kind, "once", &bytes);
    request.expected_attach_type = kind.least_program().attach_type;
    if kind == ProgramType::Lsm {
        // Some function: none is called.
        request.attach_btf_id = 1;
    }
    Ok(vm.prog_load(&request)?.fd)
}

/// Runs a program of a type on an input by each engine, which agree.
fn once(kind: ProgramType, text: &str, input: &Input<'_>) -> Result<Ran, Box<dyn Error>> {
    let mut both = Vec::new();
    for engine in [Engine::Interpreter, Engine::Jit] {
        let mut config = Config::checked();
        (config.engine, config.cpus) = (engine, 2);
        let vm = Vm::with(config)?;
        let program = load(&vm, kind, text)?;
        both.push(vm.fire_program(&program, input)?);
    }
    let (one, two) = (&both[0], &both[1]);
    // Faults name addresses, which are each machine's own.
    if one.result.is_ok() {
        assert_eq!(one, two);
    }
    Ok(both.swap_remove(0))
}

fn on_context(bytes: &[u8]) -> Input<'_> {
    let mut input = Input::default();
    input.context = bytes;
    input
}

fn on_packet(bytes: &[u8]) -> Input<'_> {
    let mut input = Input::default();
    input.packet = bytes;
    input
}

#[test]
fn a_context_is_written_where_its_type_allows() -> Tested {
    let text = "r0 = *(u32 *)(r1 + 4)\n *(u32 *)(r1 + 0) = r0\n exit";
    for kind in [
        ProgramType::CgroupSockAddr,
        ProgramType::SockOps,
        ProgramType::CgroupSockopt,
    ] {
        let ran = once(kind, text, &on_context(&[1, 0, 0, 0, 9, 0, 0, 0]))?;
        assert_eq!((ran.result, ran.context[0]), (Ok(9), 9), "{kind}");
        // What was not given is there, as zero.
        let layout = kind.context_layout().ok_or("a struct")?;
        assert_eq!(ran.context.len(), layout.size as usize, "{kind}");
    }
    for kind in [ProgramType::Kprobe, ProgramType::PerfEvent] {
        let ran = once(kind, text, &on_context(&[0; 168]))?;
        let fault = ran.result.expect_err("registers are not to be written");
        let FaultKind::Memory { write: true, .. } = fault.kind else {
            panic!("{kind}: {fault}");
        };
    }
    Ok(())
}

#[test]
fn raw_arguments_are_twelve_words() -> Tested {
    let text = "r0 = *(u64 *)(r1 + 8)\n r2 = *(u64 *)(r1 + 88)\n r0 += r2\n exit";
    let ran = once(
        ProgramType::RawTracepoint,
        text,
        &on_context(&[0, 0, 0, 0, 0, 0, 0, 0, 5]),
    )?;
    assert_eq!(ran.result, Ok(5));
    Ok(())
}

#[test]
fn a_context_points_to_memory() -> Tested {
    let text = "r2 = *(u64 *)(r1 + 0)\n r3 = *(u64 *)(r1 + 8)\n r3 -= r2\n
                r0 = *(u8 *)(r2 + 3)\n *(u8 *)(r2 + 0) = r3\n exit";
    let mut input = on_context(&[0; 16]);
    let mut lent = Lent::new(0, &[1, 2, 3, 4, 5]);
    lent.end_at = Some(8);
    lent.writable = true;
    input.memory = vec![lent];
    let vm = Vm::with(Config::checked())?;
    let program = load_syscall(&vm, text)?;
    let ran = vm.fire_program(&program, &input)?;
    assert_eq!(
        (ran.result, &ran.memory[0][..]),
        (Ok(4), &[5, 2, 3, 4, 5][..])
    );
    input.memory[0].writable = false;
    let ran = vm.fire_program(&program, &input)?;
    assert!(ran.result.is_err(), "{ran:?}");
    // The address has no room there.
    input.memory[0].at = 12;
    let error = vm.fire_program(&program, &input).expect_err("too far");
    assert_eq!(error.errno(), Some(Errno::EINVAL));
    Ok(())
}

fn load_syscall(vm: &Vm, text: &str) -> Result<ProgramFd, Box<dyn Error>> {
    let bytes = encode_slots(&assemble(text)?, Endian::NATIVE);
    let mut request = ProgramLoad::new(ProgramType::Syscall, "once", &bytes);
    request.flags = skep_abi::ProgLoadFlags::SLEEPABLE;
    Ok(vm.prog_load(&request)?.fd)
}

/// Memory of a process: these bytes at 0x1000.
#[derive(Debug)]
struct Page(&'static [u8]);

impl UserMemory for Page {
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), Errno> {
        let start = address.checked_sub(0x1000).ok_or(Errno::EFAULT)? as usize;
        let end = start.checked_add(out.len()).ok_or(Errno::EFAULT)?;
        out.copy_from_slice(self.0.get(start..end).ok_or(Errno::EFAULT)?);
        Ok(())
    }
}

#[test]
fn a_task_has_memory() -> Tested {
    let vm = Vm::with(Config::checked())?;
    let text = "r3 = *(u64 *)(r1 + 0)\n r1 = r10\n r1 += -8\n r2 = 8\n
                call 112\n r0 = *(u64 *)(r10 - 8)\n exit";
    let program = load(&vm, ProgramType::Tracepoint, text)?;
    let mut info = TaskInfo::default();
    info.memory = Some(Arc::new(Page(b"/etc/passwd\0")));
    let context = 0x1001_u64.to_ne_bytes();
    let mut input = on_context(&context);
    input.task = Some(vm.task(info));
    let ran = vm.fire_program(&program, &input)?;
    assert_eq!(ran.result, Ok(u64::from_ne_bytes(*b"etc/pass")));
    Ok(())
}

#[test]
fn who_and_where_and_by_chance() -> Tested {
    let text = "call 8\n r6 = r0\n
                call 7\n r7 = r0\n call 7\n r7 *= 10\n r7 += r0\n
                call 7\n r7 *= 10\n r7 += r0\n r7 *= 10\n r7 += r6\n r0 = r7\n exit";
    let mut input = Input::default();
    input.cpu = Some(1);
    input.random = &[3, 4];
    for kind in [ProgramType::Tracepoint, ProgramType::CgroupSock] {
        assert_eq!(once(kind, text, &input)?.result, Ok(3431), "{kind}");
    }
    let frame = [0; 60];
    input.packet = &frame;
    for kind in [ProgramType::Xdp, ProgramType::SchedCls, ProgramType::SkSkb] {
        assert_eq!(once(kind, text, &input)?.result, Ok(3431), "{kind}");
    }
    input.cpu = Some(2);
    let error = once(ProgramType::Xdp, text, &input).expect_err("two CPUs");
    assert!(because(error).contains("CPU 2"));
    Ok(())
}

#[test]
fn a_packet_is_changed_and_sent() -> Tested {
    let text = "r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r4 = r2\n r4 += 14\n
                if r4 > r3 goto out\n *(u8 *)(r2 + 0) = 7\n
                r1 = 5\n r2 = 0\n call 23\n exit\n
                out: r0 = 1\n exit";
    let ran = once(ProgramType::Xdp, text, &on_packet(&[0; 60]))?;
    assert_eq!(
        (ran.result, ran.packet.len(), ran.packet[0]),
        (Ok(4), 60, 7)
    );
    let sent = matches!(ran.redirect, Some(Redirect::Device { ifindex: 5, .. }));
    assert!(sent, "{:?}", ran.redirect);
    // Shorter than a header is no packet at all.
    let error = once(ProgramType::Xdp, text, &on_packet(&[0; 13])).expect_err("too short");
    assert!(error.to_string().contains("EINVAL"), "{error}");
    Ok(())
}

#[test]
fn a_call_returns_what_programs_want() -> Tested {
    let text = "call 186\n r6 = r0\n r1 = -13\n call 187\n r0 = r6\n exit";
    let mut input = Input::default();
    input.return_value = -1;
    let ran = once(ProgramType::CgroupSockAddr, text, &input)?;
    assert_eq!((ran.result, ran.return_value), (Ok(u64::MAX), -13));
    Ok(())
}

/// The cause that an error of the host names.
#[test]
fn a_function_has_arguments_and_a_value() -> Tested {
    let context: Vec<u8> = [5_u64, 6, 7]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    let mut input = on_context(&context);
    input.function = 0x1234;
    // The second argument, what an argument too many answers, the value, how many there are.
    let text = "r6 = r1\n r7 = 0\n
                r2 = 1\n r3 = r10\n r3 += -8\n call 183\n r7 += r0\n
                r0 = *(u64 *)(r10 - 8)\n r7 *= 100\n r7 += r0\n
                r1 = r6\n r2 = 3\n r3 = r10\n r3 += -8\n call 183\n r7 *= 100\n r7 -= r0\n
                r1 = r6\n r2 = r10\n r2 += -8\n call 184\n r7 *= 100\n r7 -= r0\n
                r0 = *(u64 *)(r10 - 8)\n r7 *= 100\n r7 += r0\n
                r1 = r6\n call 185\n r7 *= 100\n r7 += r0\n r0 = r7\n exit";
    input.returned = true;
    let kind = ProgramType::Lsm;
    assert_eq!(once(kind, text, &input)?.result, Ok(6_22_00_07_02));
    // Before it has run there is no value (`EOPNOTSUPP`), and one argument more.
    input.returned = false;
    assert_eq!(once(kind, text, &input)?.result, Ok(6_22_95_06_03));
    let text = "call 173\n exit";
    assert_eq!(once(ProgramType::Kprobe, text, &input)?.result, Ok(0x1234));
    let text = "r2 = -13\n call 58\n r0 = 0\n exit";
    let ran = once(ProgramType::Kprobe, text, &input)?;
    assert_eq!((ran.result, ran.overridden), (Ok(0), Some(-13_i64 as u64)));
    Ok(())
}

#[test]
fn stacks_are_those_of_the_input() -> Tested {
    let mut input = Input::default();
    (input.kernel_stack, input.user_stack) = (&[0x100, 0x200], &[0x10, 0x20, 0x30]);
    // Of the current task, in user space: all but the first.
    let text = "call 158\n r1 = r0\n r2 = r10\n r2 += -16\n r3 = 16\n r4 = 0x101\n call 141\n
                r1 = *(u64 *)(r10 - 16)\n r2 = *(u64 *)(r10 - 8)\n
                r0 <<= 32\n r1 <<= 8\n r0 += r1\n r0 += r2\n exit";
    let ran = once(ProgramType::Tracepoint, text, &input)?;
    assert_eq!(ran.result, Ok(16 << 32 | 0x20 << 8 | 0x30));
    Ok(())
}

fn because(error: Box<dyn Error>) -> String {
    let error = error.downcast_ref::<skep_host::Error>();
    let cause = error.and_then(skep_host::Error::cause);
    cause.map(|cause| format!("{cause:?}")).unwrap_or_default()
}

#[test]
fn what_does_not_fit_is_refused() -> Tested {
    let exit = "r0 = 0\n exit";
    let error = once(ProgramType::Kprobe, exit, &on_packet(&[0; 60])).expect_err("no packets");
    assert!(because(error).contains("have no packets"));
    let mut input = on_packet(&[0; 60]);
    input.memory = vec![Lent::new(0, &[1])];
    let error = once(ProgramType::Xdp, exit, &input).expect_err("no pointers");
    assert!(because(error).contains("no pointers"));
    let vm = Vm::with(Config::checked())?;
    let gone = load(&vm, ProgramType::Xdp, exit)?;
    let error = Vm::new()?.fire_program(&gone, &Input::default());
    assert_eq!(
        error.expect_err("of another machine").errno(),
        Some(Errno::EBADF)
    );
    Ok(())
}

#[test]
fn a_packet_is_memory_for_helpers_without_checks_too() -> Tested {
    let vm = Vm::new()?;
    // The checksum of the packet's first eight bytes (`bpf_csum_diff`).
    let text = "r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r4 = r2\n r4 += 8\n
                if r4 > r3 goto out\n r3 = r2\n r1 = 0\n r2 = 0\n r4 = 8\n r5 = 0\n call 28\n exit\n
                out: r0 = 0\n exit";
    let program = load(&vm, ProgramType::Xdp, text)?;
    let mut frame = [0; 60];
    frame[..8].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
    let ran = vm.fire_program(&program, &on_packet(&frame))?;
    assert_eq!(ran.result, Ok(3));
    Ok(())
}
