//! Processes by the number that programs see. In a PID namespace (a container) a process has another
//! number than for the kernel, whose programs know only its own: what a user names is not what a
//! program compares with.
//!
//! Nothing in `/proc` tells a namespace's process the number outside of it. An iterator over the
//! tasks of the namespace does: it looks for the wanted number, and writes the outermost one.

use skep_abi::{AttachType, ProgramType};
use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_host::{AttachPoint, IterTarget, ProgramLoad};
use skep_isa::{Endian, assemble, encode_slots};

use crate::{Error, Host, Result};

const NAME: &str = "skep_pid";
/// What the kernel's own types call the hook.
const HOOK: &str = "bpf_iter_task";
/// The namespace of numbers that all others are in: `PROC_PID_INIT_INO`.
const OUTERMOST: &str = "pid:[4026531836]";

/// `bpf_get_current_task`, `bpf_probe_read_kernel`, `bpf_seq_write`.
const CURRENT_TASK: u32 = 35;
const READ_KERNEL: u32 = 113;
const SEQ_WRITE: u32 = 127;

impl Host {
    /// The number by which programs know a process (or a thread) of this process' own PID namespace:
    /// what `bpf_get_current_pid_tgid` gives there. Outside of containers, and on the virtual
    /// machine, that is the number itself.
    ///
    /// # Errors
    /// There is no such process; or the kernel can't be asked: it takes an iterator over tasks
    /// (Linux 5.8, `CAP_BPF` and `CAP_PERFMON`) and the kernel's BTF.
    pub fn kernel_pid(&self, pid: u32) -> Result<u32> {
        let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        #[cfg(feature = "vm")]
        if self.as_vm().is_some() {
            return Ok(pid);
        }
        if namespace.as_os_str().is_empty() || namespace.as_os_str() == OUTERMOST {
            return Ok(pid);
        }
        outermost(self, pid)
    }
}

/// Asks the kernel.
fn outermost(host: &Host, pid: u32) -> Result<u32> {
    let btf = host.btf()?;
    let unknown = |what: &str| {
        fault(format!(
            "the kernel's types have no `{what}`, so numbers of this PID namespace can't be told \
             from its own: name processes from outside of it"
        ))
    };
    let text = Layout::of(&btf).map_err(unknown)?.text(pid);
    let hook = btf
        .find(HOOK, KindTag::Function)
        .ok_or_else(|| unknown(HOOK))?;
    let slots = assemble(&text).map_err(|error| fault(error.to_string()))?;
    let instructions = encode_slots(&slots, Endian::NATIVE);
    let mut load = ProgramLoad::new(ProgramType::Tracing, NAME, &instructions);
    load.expected_attach_type = Some(AttachType::TraceIter);
    load.attach_btf_id = hook.0;
    let boundary = host.boundary();
    let program = boundary.prog_load(&load)?.fd;
    let point = AttachPoint::Iterator(IterTarget::All);
    let attached = boundary.attach(NAME, &program, ProgramType::Tracing, &point)?;
    let link = attached
        .link_fd()
        .ok_or_else(|| fault("it has no link".into()))?;
    let iterator = boundary.iter_create(link)?;
    let mut number = [0; 4];
    // A whole number is written at once. Without one, the walk ends.
    let read = boundary.read(iterator.descriptor(), &mut number)?;
    if read != number.len() {
        let none = "there is no such process in this PID namespace";
        return Err(fault(format!("{pid}: {none}")));
    }
    Ok(u32::from_ne_bytes(number))
}

fn fault(reason: String) -> Error {
    Error::Attach {
        program: NAME.into(),
        section: "iter/task".into(),
        reason,
    }
}

/// Where in the kernel's structures the numbers of a task are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// `task_struct.thread_pid`.
    pid: u64,
    /// `pid.level`: how many namespaces the task's own is in.
    level: u64,
    /// `pid.numbers[0].nr`, and from each number to that one level further in.
    number: u64,
    step: u64,
}

impl Layout {
    /// # Errors
    /// What is not there.
    fn of(btf: &Btf) -> Result<Self, &'static str> {
        let structure = |name: &'static str| btf.find(name, KindTag::Struct).ok_or(name);
        let (task, pid, upid) = (
            structure("task_struct")?,
            structure("pid")?,
            structure("upid")?,
        );
        let numbers = offset(btf, pid, "numbers").ok_or("pid.numbers")?;
        let nr = offset(btf, upid, "nr").ok_or("upid.nr")?;
        Ok(Self {
            pid: offset(btf, task, "thread_pid").ok_or("task_struct.thread_pid")?,
            level: offset(btf, pid, "level").ok_or("pid.level")?,
            number: numbers + nr,
            step: btf.size_of(upid).map_err(|_| "upid")?,
        })
    }

    /// The program: for the task with this number in the reader's namespace, its outermost number.
    fn text(self, wanted: u32) -> String {
        let Self {
            pid,
            level,
            number,
            step,
        } = self;
        // Reads `size` bytes at r3 to the stack, and leaves where that fails.
        let read = |to: i32, size: u32| {
            format!(
                "r1 = r10\n r1 += {to}\n r2 = {size}\n call {READ_KERNEL}\n if r0 != 0 goto out\n"
            )
        };
        [
            // The context: what is known of the walk, and the task, null at its end.
            "r6 = r1\n r7 = *(u64 *)(r6 + 8)\n if r7 == 0 goto out\n".to_owned(),
            // How deep the reader's own namespace is.
            format!("call {CURRENT_TASK}\n r3 = r0\n r3 += {pid}\n"),
            read(-8, 8),
            format!("r3 = *(u64 *)(r10 - 8)\n r3 += {level}\n"),
            read(-16, 4),
            // The task's number there.
            format!("r3 = r7\n r3 += {pid}\n"),
            read(-8, 8),
            format!("r8 = *(u64 *)(r10 - 8)\n w1 = *(u32 *)(r10 - 16)\n r1 *= {step}\n"),
            format!("r3 = r8\n r3 += r1\n r3 += {number}\n"),
            read(-16, 4),
            format!(
                "w1 = *(u32 *)(r10 - 16)\n if w1 != {} goto out\n",
                wanted as i32
            ),
            // And outside of all.
            format!("r3 = r8\n r3 += {number}\n"),
            read(-16, 4),
            "r1 = *(u64 *)(r6 + 0)\n r1 = *(u64 *)(r1 + 0)\n".to_owned(),
            format!("r2 = r10\n r2 += -16\n r3 = 4\n call {SEQ_WRITE}\n"),
            "out:\n r0 = 0\n exit\n".to_owned(),
        ]
        .concat()
    }
}

/// Bytes to a member, which may be one of a structure without a name.
fn offset(btf: &Btf, id: TypeId, name: &str) -> Option<u64> {
    /// How deep such structures are looked into.
    const DEPTH: u32 = 4;
    offset_below(btf, id, name, DEPTH)
}

fn offset_below(btf: &Btf, id: TypeId, name: &str, depth: u32) -> Option<u64> {
    let (Kind::Struct(composite) | Kind::Union(composite)) = btf.skip_modifiers(id).ok()?.kind()
    else {
        return None;
    };
    composite.members().find_map(|member| {
        let within = match member.name() {
            found if found == name => 0,
            "" if depth > 0 => offset_below(btf, member.type_id, name, depth - 1)?,
            _ => return None,
        };
        Some(u64::from(member.bit_offset / 8) + within)
    })
}
