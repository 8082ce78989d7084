//! Every helper with arguments that fit, and with each of them replaced by what does not, or not
//! for sure: the kernel and the verifier must agree.

use std::fmt::Write as _;

use skep_abi::{
    ArgKind, Helper, HelperAccess, MapType, Parameter, ProgramType, ReturnKind, ValueFlags,
};
use skep_isa::assemble;
use skep_testing::{Outcome, Stop};

use super::{
    hooks::{HOOKS, Hook},
    judge,
    scene::{Scene, Verdicts},
    target,
};

/// What takes the place of an argument: R6 is the context, R7 a map value, R9 what the way to it
/// says.
const OTHERS: &[(&str, &str)] = &[
    ("null", "R = 0"),
    ("one", "R = 1"),
    ("minus one", "R = -1"),
    ("four thousand", "R = 4096"),
    ("sixty-five", "R = 65"),
    ("an unknown number", "R = *(u64 *)(r7 +0)"),
    ("a number up to 63", "R = *(u64 *)(r7 +0)\n R &= 63"),
    (
        "a number from 1 to 64",
        "R = *(u64 *)(r7 +0)\n R &= 63\n R += 1",
    ),
    (
        "a signed number up to 8",
        "R = *(u64 *)(r7 +0)\n if R s> 8 goto out",
    ),
    ("stack", "R = r10\n R += -64"),
    ("unaligned stack", "R = r10\n R += -63"),
    ("the end of the stack", "R = r10\n R += -4"),
    ("stack that was not written", "R = r10\n R += -256"),
    ("the context", "R = r6"),
    ("the context and 8", "R = r6\n R += 8"),
    ("a map", "R = map[idx:0]"),
    ("a map value", "R = r7"),
    ("the end of a map value", "R = r7\n R += 60"),
    ("before a map value", "R = r7\n R += -8"),
    (
        "somewhere in a map value",
        "R = *(u64 *)(r7 +0)\n R &= 31\n R += r7",
    ),
    ("a constant in a map", "R = map[idx:CONSTANT][0]+0"),
    ("a map value or null", "R = r9"),
    ("a packet", "R = r9"),
    ("a packet's start", "R = r9"),
    ("a record of a ring buffer", "R = r9"),
    ("a task", "R = r9"),
    ("nothing", ""),
];

/// What the kernel says when it can't do at all what is tried: it is in lockdown, lacks an option,
/// or does not tell the addresses of its variables.
const LACKING: &[&str] = &[
    "cannot use helper bpf_probe_write_user",
    "cannot use helper bpf_override_return",
    "failed to find the address for kernel symbol",
];

/// Stands for the kernel's function `bpf_task_release` in assembly.
const RELEASE_TASK: i32 = 4095;

/// Differences with a reason.
const KNOWN: &[(&str, &str)] = &[];

pub(super) fn all() -> Outcome {
    let scene = Scene::new()?;
    let hooks: Vec<&Hook> = HOOKS.iter().filter(|hook| hook.is_here()).collect();
    let (mut compared, mut differences) = (0, Vec::new());
    let mut without = Vec::new();
    for helper in Helper::all() {
        let mut loaded = Vec::new();
        for hook in &hooks {
            if helper.access_from(hook.program) == HelperAccess::No {
                continue;
            }
            let parameters = helper.parameters_for(hook.program, hook.attach);
            let same = loaded.iter().filter(|one| **one == parameters.as_ptr());
            let before = same.count();
            // An array of programs belongs to the type of the first that uses it.
            let most = if helper.short_name() == "tail_call" {
                1
            } else {
                2
            };
            if before == most {
                continue;
            }
            let Some(right) = Trial::new(&scene, hook, helper, parameters) else {
                continue;
            };
            let (kernel, ours) = right.verdicts(&scene, None)?;
            if matches!(&kernel, Err(log) if LACKING.iter().any(|lacking| log.contains(lacking))) {
                continue;
            }
            compared += 1;
            note(&mut differences, &right, "as it is", &kernel, &ours);
            if kernel.is_err() {
                continue;
            }
            loaded.push(parameters.as_ptr());
            if before == 1 {
                continue;
            }
            for index in 0..parameters.len().min(5) {
                for (what, code) in OTHERS {
                    let Some((kernel, ours)) = right.with(&scene, index, what, code)? else {
                        continue;
                    };
                    compared += 1;
                    let what = format!("r{} is {what}", index + 1);
                    note(&mut differences, &right, &what, &kernel, &ours);
                }
            }
        }
        if loaded.is_empty() {
            without.push(helper.name);
        }
    }
    if !without.is_empty() {
        skep_testing::lacks(format!(
            "a program that the kernel loads for {}",
            without.join(", ")
        ));
    }
    judge(compared, differences, KNOWN)
}

fn note(
    differences: &mut Vec<String>,
    trial: &Trial<'_>,
    what: &str,
    kernel: &Result<(), String>,
    ours: &Result<(), String>,
) {
    if kernel.is_ok() == ours.is_ok() {
        return;
    }
    let said = match kernel {
        Ok(()) => "loads",
        Err(log) => log
            .lines()
            .rev()
            .find(|line| !line.starts_with("processed") && !line.trim().is_empty())
            .unwrap_or(""),
    };
    let ours = ours.as_ref().err().map_or("accepted", String::as_str);
    differences.push(format!(
        "{} from {}, {what}: kernel: {said}; here: {ours}",
        trial.helper.name, trial.hook.name
    ));
}

/// One helper called from one hook.
struct Trial<'a> {
    hook: &'a Hook,
    helper: &'static Helper,
    /// What comes before the arguments.
    before: String,
    /// The arguments, a line or two each.
    arguments: Vec<String>,
    /// What comes after the call.
    after: String,
}

impl<'a> Trial<'a> {
    /// With arguments that fit; `None`: this hook has none for it.
    fn new(
        scene: &Scene,
        hook: &'a Hook,
        helper: &'static Helper,
        parameters: &[Parameter],
    ) -> Option<Self> {
        let mut trial = Self {
            hook,
            helper,
            before: String::new(),
            arguments: Vec::new(),
            after: after(helper),
        };
        trial.before.push_str("r6 = r1\n");
        for slot in 1..=16 {
            let _ = writeln!(trial.before, "*(u64 *)(r10 -{}) = 0", slot * 8);
        }
        trial.look_up(scene.index("array")?, "r7");
        let map = map_of(scene, helper)?;
        for (index, parameter) in parameters.iter().take(5).enumerate() {
            let code = trial.argument(scene, parameter, index, map)?;
            trial.arguments.push(code);
        }
        Some(trial)
    }

    /// Code for a value of a map in a register.
    fn look_up(&mut self, map: usize, register: &str) {
        let _ = writeln!(
            self.before,
            "r1 = map[idx:{map}]\n r2 = r10\n r2 += -8\n call 1\n if r0 == 0 goto out\n {register} = r0"
        );
    }

    fn argument(
        &mut self,
        scene: &Scene,
        parameter: &Parameter,
        index: usize,
        map: &str,
    ) -> Option<String> {
        let name = self.helper.short_name();
        let register = format!("r{}", index + 1);
        Some(match parameter.kind {
            ArgKind::ConstMapPtr => format!("{register} = map[idx:{}]", scene.index(map)?),
            ArgKind::MapKey => format!("{register} = r10\n {register} += -8"),
            ArgKind::MapValue if matches!(map, "sockets" | "sockhash") => {
                self.socket(parameter)?;
                format!("{register} = r8")
            }
            ArgKind::MapValue => format!("{register} = r10\n {register} += -128"),
            ArgKind::Mem if name == "dynptr_from_mem" => format!("{register} = r7"),
            ArgKind::Mem => format!("{register} = r10\n {register} += -64"),
            ArgKind::MemSize | ArgKind::MemSizeOrZero | ArgKind::ConstAllocSizeOrZero => {
                format!("{register} = 8")
            }
            ArgKind::Ctx => format!("{register} = r6"),
            ArgKind::Anything => format!("{register} = 0"),
            ArgKind::Scalar => format!("{register} = 1"),
            ArgKind::SpinLock => {
                self.look_up(scene.index("locked")?, "r8");
                if name == "spin_unlock" {
                    self.before.push_str("r1 = r8\n r1 += 8\n call 93\n");
                }
                format!("{register} = r8\n {register} += 8")
            }
            ArgKind::Timer => {
                self.look_up(scene.index("timed")?, "r8");
                format!("{register} = r8\n {register} += 8")
            }
            ArgKind::KptrXchgDest => {
                self.look_up(scene.index("pointed")?, "r8");
                format!("{register} = r8\n {register} += 8")
            }
            ArgKind::BtfIdSockCommon if name == "sk_release" => {
                self.before.push_str(
                    "r1 = r6\n r2 = r10\n r2 += -64\n r3 = 12\n r4 = 0\n r5 = 0\n call 84\n \
                     if r0 == 0 goto out\n r8 = r0\n",
                );
                format!("{register} = r8")
            }
            ArgKind::SockCommon | ArgKind::BtfIdSockCommon | ArgKind::Socket => {
                self.socket(parameter)?;
                format!("{register} = r8")
            }
            ArgKind::BtfId if name == "kptr_xchg" => format!("{register} = 0"),
            ArgKind::BtfId => {
                self.structure(parameter.btf_type?)?;
                format!("{register} = r8")
            }
            ArgKind::PercpuBtfId => {
                let types = target().ok()?.kernel_btf.as_ref()?;
                let id = types.find("runqueues", skep_btf::KindTag::Variable)?;
                format!("{register} = btf[id:{}]", id.0)
            }
            ArgKind::RingbufMem => {
                self.reserve(scene.index("ring")?, "r8");
                format!("{register} = r8")
            }
            ArgKind::Func => format!("{register} = subprog[call_back]"),
            ArgKind::Stack => format!("{register} = r10\n {register} += -8"),
            ArgKind::ConstStr => format!("{register} = map[idx:{}][0]+0", scene.index("constant")?),
            ArgKind::Dynptr if parameter.flags.contains(ValueFlags::UNINIT) => {
                format!("{register} = r10\n {register} += -144")
            }
            ArgKind::Dynptr => {
                if parameter.flags.contains(ValueFlags::RINGBUF) {
                    let _ = writeln!(
                        self.before,
                        "r1 = map[idx:{}]\n r2 = 8\n r3 = 0\n r4 = r10\n r4 += -160\n call 198",
                        scene.index("ring")?
                    );
                } else {
                    self.before.push_str(
                        "r1 = r7\n r2 = 32\n r3 = 0\n r4 = r10\n r4 += -160\n call 197\n",
                    );
                }
                format!("{register} = r10\n {register} += -160")
            }
            ArgKind::DontCare | ArgKind::Variadic => String::new(),
            _ => return None,
        })
    }

    fn reserve(&mut self, ring: usize, register: &str) {
        let _ = writeln!(
            self.before,
            "r1 = map[idx:{ring}]\n r2 = 8\n r3 = 0\n call 131\n if r0 == 0 goto out\n {register} = r0"
        );
    }

    /// A socket in R8: that of the context.
    fn socket(&mut self, parameter: &Parameter) -> Option<()> {
        let layout = self.hook.program.context_layout()?;
        let field = layout.fields.iter().find(|field| field.name == "sk")?;
        let _ = writeln!(
            self.before,
            "r8 = *(u64 *)(r6 +{})\n if r8 == 0 goto out",
            field.offset
        );
        if parameter.kind == ArgKind::Socket
            && Helper::by_name("sk_fullsock")?.access_from(self.hook.program) != HelperAccess::No
        {
            self.before
                .push_str("r1 = r8\n call 95\n if r0 == 0 goto out\n r8 = r0\n");
        }
        Some(())
    }

    /// A kernel structure in R8.
    fn structure(&mut self, name: &str) -> Option<()> {
        let code = match (name, self.hook.name) {
            ("sk_buff", "tp_btf/consume_skb") | ("tcp_sock", "tcp/ssthresh") => {
                "r8 = *(u64 *)(r6 +0)\n"
            }
            ("seq_file", "iter/task") => "r8 = *(u64 *)(r6 +0)\n r8 = *(u64 *)(r8 +0)\n",
            ("task_struct", _)
                if Helper::by_name("get_current_task_btf")?.access_from(self.hook.program)
                    != HelperAccess::No =>
            {
                "call 158\n r8 = r0\n"
            }
            _ => return None,
        };
        self.before.push_str(code);
        Some(())
    }

    fn text(&self, replaced: Option<(usize, &str, &str)>) -> String {
        let mut text = self.before.clone();
        if let Some((_, _, way)) = replaced {
            text.push_str(way);
        }
        for (index, argument) in self.arguments.iter().enumerate() {
            let other = replaced.filter(|(place, ..)| *place == index);
            let line = match other {
                Some((_, code, _)) => code.replace('R', &format!("r{}", index + 1)),
                None => argument.clone(),
            };
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "call {}\n{}", self.helper.id, self.after);
        let _ = writeln!(text, "out:\n r0 = {}\n exit", self.hook.answer);
        if self.calls_back() {
            text.push_str("call_back:\n r0 = 0\n exit\n");
        }
        text
    }

    fn calls_back(&self) -> bool {
        let parameters = self.helper.parameters();
        parameters
            .iter()
            .any(|parameter| parameter.kind == ArgKind::Func)
    }

    fn verdicts(
        &self,
        scene: &Scene,
        replaced: Option<(usize, &str, &str)>,
    ) -> Result<Verdicts, Stop> {
        let text = self.text(replaced);
        let mut slots = assemble(&text).map_err(|error| Stop::Fail(format!("{error}:\n{text}")))?;
        let release = target()?
            .kernel_btf
            .as_ref()
            .and_then(|types| types.find("bpf_task_release", skep_btf::KindTag::Function));
        for slot in &mut slots {
            if slot.opcode == 0x85 && slot.imm == RELEASE_TASK {
                slot.src = 2;
                slot.imm = release.map_or(0, |id| id.0.cast_signed());
            }
        }
        let call_back = self.calls_back().then(|| slots.len() - 2);
        scene.verdicts(self.hook, &slots, call_back)
    }

    /// With another argument; `None`: there is no such thing at this hook.
    fn with(
        &self,
        scene: &Scene,
        index: usize,
        what: &str,
        code: &str,
    ) -> Result<Option<Verdicts>, Stop> {
        let Some(way) = self.way(scene, what) else {
            return Ok(None);
        };
        let constant = scene.index("constant").unwrap_or(0);
        let code = code.replace("CONSTANT", &constant.to_string());
        self.verdicts(scene, Some((index, &code, &way))).map(Some)
    }

    /// The code that puts in R9 what is passed in another argument's place.
    fn way(&self, scene: &Scene, what: &str) -> Option<String> {
        let field = |name: &str| {
            let layout = self.hook.program.context_layout()?;
            let field = layout.fields.iter().find(|field| field.name == name)?;
            Some(field.offset)
        };
        Some(match what {
            "a map value or null" => format!(
                "r1 = map[idx:{}]\n r2 = r10\n r2 += -8\n call 1\n r9 = r0\n",
                scene.index("hash")?
            ),
            "a packet" | "a packet's start" => {
                if !matches!(self.hook.program, ProgramType::Xdp | ProgramType::SchedCls) {
                    return None;
                }
                let bytes = if what == "a packet" { 64 } else { 4 };
                format!(
                    "r9 = *(u32 *)(r6 +{})\n r2 = *(u32 *)(r6 +{})\n r3 = r9\n r3 += {bytes}\n if r3 > r2 goto out\n",
                    field("data")?,
                    field("data_end")?
                )
            }
            "a record of a ring buffer" => format!(
                "r1 = map[idx:{}]\n r2 = 64\n r3 = 0\n call 131\n if r0 == 0 goto out\n r9 = r0\n",
                scene.index("ring")?
            ),
            "a task" => {
                let task = Helper::by_name("get_current_task_btf")?;
                if task.access_from(self.hook.program) == HelperAccess::No {
                    return None;
                }
                "call 158\n r9 = r0\n".into()
            }
            _ => String::new(),
        })
    }
}

/// The map that a helper is tried with.
fn map_of(scene: &Scene, helper: &Helper) -> Option<&'static str> {
    if helper.short_name() == "timer_init" {
        return Some("timed");
    }
    match helper.map_types() {
        None => Some("array"),
        Some(kinds) => kinds
            .iter()
            .filter(|kind| **kind != MapType::PercpuCgroupStorage)
            .find_map(|kind| scene.of_type(*kind)),
    }
}

/// What gives back what the call took.
fn after(helper: &Helper) -> String {
    match helper.short_name() {
        "sk_lookup_tcp" | "sk_lookup_udp" | "skc_lookup_tcp" => {
            "if r0 == 0 goto out\n r1 = r0\n call 86".into()
        }
        "ringbuf_reserve" => "if r0 == 0 goto out\n r1 = r0\n r2 = 0\n call 133".into(),
        "ringbuf_reserve_dynptr" => "r1 = r10\n r1 += -144\n r2 = 0\n call 200".into(),
        "kptr_xchg" => format!("if r0 == 0 goto out\n r1 = r0\n call {RELEASE_TASK}"),
        "spin_lock" => "r1 = r8\n r1 += 8\n call 94".into(),
        _ if helper.returns().kind == ReturnKind::Integer => "r9 = r0".into(),
        _ => String::new(),
    }
}
