//! Structs of functions that the embedder defines, and that programs fill: `struct_ops`, as the
//! kernel has it for congestion controls and schedulers.

use std::{fmt, sync::Arc};

use skep_btf::{Btf, Builder, IntEncoding, KindTag, NewMember, NewType, TypeId};
use skep_host::Errno;
use zerocopy::IntoBytes as _;

use crate::{
    Fault, Vm,
    machine::{
        fire::fire,
        struct_ops::{Instance, MemberKind, OpsIds, OpsMember, OpsType},
    },
    memory::View,
    run::{Ours, Run},
};

/// Most arguments of a function (`MAX_BPF_FUNC_ARGS`).
const MOST_ARGUMENTS: u32 = 12;
/// Most members: what BTF counts.
const MOST_MEMBERS: usize = 0xffff;
/// Most bytes of a text.
const MOST_TEXT: u32 = 4096;

/// A struct of functions as data: its name and its members, in order.
///
/// In C it is an ordinary struct. The functions get their arguments as all programs do that take
/// those of a function (`BPF_PROG`): each is 64 bits wide, a number or a pointer to memory that
/// the caller lends.
///
/// ```
/// use skep_vm::StructOpsType;
///
/// // struct pricing {
/// //     char name[16];
/// //     long (*price)(struct order *order, unsigned long customer);
/// //     void (*sold)(unsigned long items);
/// // };
/// let pricing = StructOpsType::new("pricing")
///     .text("name", 16)
///     .function("price", 2)
///     .optional_function("sold", 1);
/// # let vm = skep_vm::Vm::new()?;
/// let pricing = vm.define_struct_ops(&pricing)?;
/// assert!(pricing.instances().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructOpsType {
    name: String,
    members: Vec<(String, MemberKind)>,
    single: bool,
}

impl StructOpsType {
    /// `struct name`, without members.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            members: Vec::new(),
            single: false,
        }
    }

    fn with(mut self, name: &str, kind: MemberKind) -> Self {
        self.members.push((name.to_owned(), kind));
        self
    }

    /// With a function, at most of twelve arguments, for which there must be a program.
    #[must_use]
    pub fn function(self, name: &str, arguments: u32) -> Self {
        let required = true;
        self.with(
            name,
            MemberKind::Function {
                arguments,
                required,
            },
        )
    }

    /// With a function that may be left out.
    #[must_use]
    pub fn optional_function(self, name: &str, arguments: u32) -> Self {
        let required = false;
        self.with(
            name,
            MemberKind::Function {
                arguments,
                required,
            },
        )
    }

    /// With an integer of 1, 2, 4 or 8 bytes.
    #[must_use]
    pub fn integer(self, name: &str, bytes: u32) -> Self {
        self.with(name, MemberKind::Integer(bytes))
    }

    /// With an array of characters, at most 4096.
    #[must_use]
    pub fn text(self, name: &str, bytes: u32) -> Self {
        self.with(name, MemberKind::Text(bytes))
    }

    /// Only one may be registered at a time; registering another gives `EBUSY`.
    #[must_use]
    pub fn single(mut self) -> Self {
        self.single = true;
        self
    }

    /// Whether it can be.
    fn check(&self) -> Result<(), Errno> {
        let fits = |kind: &MemberKind| match *kind {
            MemberKind::Function { arguments, .. } => arguments <= MOST_ARGUMENTS,
            MemberKind::Integer(size) => matches!(size, 1 | 2 | 4 | 8),
            MemberKind::Text(size) => (1..=MOST_TEXT).contains(&size),
        };
        let mut names: Vec<&str> = self.members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let good = is_identifier(&self.name)
            && names.len() == self.members.len()
            && (1..=MOST_MEMBERS).contains(&names.len())
            && names.into_iter().all(is_identifier)
            && self.members.iter().all(|(_, kind)| fits(kind))
            && self.layout().1 <= 1 << 20;
        good.then_some(()).ok_or(Errno::EINVAL)
    }

    /// The members' places in a map's value, and the struct's size; as a C compiler has them.
    fn layout(&self) -> (Vec<OpsMember>, usize) {
        let mut end = 0_usize;
        let mut members = Vec::with_capacity(self.members.len());
        for (name, kind) in &self.members {
            let mut member = OpsMember {
                name: name.clone(),
                offset: 0,
                kind: *kind,
            };
            let align = match kind {
                MemberKind::Text(_) => 1,
                _ => member.size(),
            };
            let start = end.next_multiple_of(align.max(1));
            end = start.saturating_add(member.size());
            member.offset = start.saturating_add(DATA);
            members.push(member);
        }
        (members, end.next_multiple_of(8))
    }
}

/// Where the struct begins in a map's value: behind the counter and the state, on a cache line of
/// its own as in the kernel.
const DATA: usize = 64;

fn is_identifier(name: &str) -> bool {
    let first = name.as_bytes().first();
    first.is_some_and(|byte| !byte.is_ascii_digit())
        && name.len() <= 100
        && name
            .bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

impl Vm {
    /// Defines a struct of functions that programs of type `struct_ops` fill: objects with
    /// `SEC("struct_ops")` and a variable in section `.struct_ops` or `.struct_ops.link` load and
    /// attach as into the kernel. The machine's own BTF has the struct from now on; since hosts
    /// read that once, define it before objects are loaded.
    ///
    /// Defining the same again gives another handle of it.
    ///
    /// # Errors
    /// `EINVAL`: a name is no identifier or is there twice, or a member can't be so; `EEXIST`: the
    /// machine has another struct of this name.
    pub fn define_struct_ops(&self, definition: &StructOpsType) -> Result<StructOps, Errno> {
        definition.check()?;
        let (members, size) = definition.layout();
        let ops = self.0.struct_ops.add(&definition.name, |known| {
            if let Some(known) = known {
                let same = known.members == members && known.single == definition.single;
                return same.then(|| Arc::clone(known)).ok_or(Errno::EEXIST);
            }
            let ids = self
                .0
                .registry
                .extend_types(|own| add_types(own, &definition.name, &members, size))?;
            let name = definition.name.clone();
            let ops = OpsType::new(name, members.clone(), definition.single, ids);
            Ok(Arc::new(ops))
        })?;
        Ok(StructOps {
            vm: self.clone(),
            ops,
        })
    }

    /// A struct of functions that was defined.
    #[must_use]
    pub fn struct_ops(&self, name: &str) -> Option<StructOps> {
        let ops = self.0.struct_ops.by_name(name)?;
        Some(StructOps {
            vm: self.clone(),
            ops,
        })
    }
}

/// Adds the struct, and the one around it, to the machine's types.
fn add_types(
    own: &Btf,
    name: &str,
    members: &[OpsMember],
    size: usize,
) -> Result<(Vec<u8>, OpsIds), Errno> {
    const ARGUMENTS: [&str; MOST_ARGUMENTS as usize] = [
        "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12",
    ];
    const COMMON: &str = "bpf_struct_ops_common_value";
    let value_name = format!("bpf_struct_ops_{name}");
    let taken = |name: &str| own.find(name, KindTag::Struct).is_some();
    if taken(name) || taken(&value_name) {
        return Err(Errno::EEXIST);
    }
    let mut types = Builder::from_btf(own).map_err(|_| Errno::EINVAL)?;
    let int = |types: &mut Builder, name: &str, size: u32, encoding| {
        own.find(name, KindTag::Int)
            .unwrap_or_else(|| types.int(name, size, encoding))
    };
    let unsigned = IntEncoding::UNSIGNED;
    let integers = [
        (1, int(&mut types, "unsigned char", 1, unsigned)),
        (2, int(&mut types, "unsigned short", 2, unsigned)),
        (4, int(&mut types, "unsigned int", 4, unsigned)),
        (8, int(&mut types, "unsigned long long", 8, unsigned)),
    ];
    let character = int(&mut types, "char", 1, IntEncoding::SIGNED);
    let integer = |size: u32| {
        let found = integers.iter().find(|(known, _)| *known == size);
        found.map_or(TypeId::VOID, |(_, id)| *id)
    };
    let common = own.find(COMMON, KindTag::Struct).unwrap_or_else(|| {
        let word = integer(4);
        let members = [
            NewMember::new("refcnt", word, 0),
            NewMember::new("state", word, 32),
        ];
        types.structure(COMMON, 8, &members)
    });
    let mut fields = Vec::with_capacity(members.len());
    for member in members {
        let type_id = match member.kind {
            MemberKind::Function { arguments, .. } => {
                let params: Vec<(&str, TypeId)> = ARGUMENTS
                    .iter()
                    .take(arguments as usize)
                    .map(|name| (*name, integer(8)))
                    .collect();
                let prototype = types.add(NewType::FunctionPrototype {
                    return_type: integer(8),
                    params: &params,
                });
                types.pointer(prototype)
            }
            MemberKind::Integer(size) => integer(size),
            MemberKind::Text(size) => types.array(character, integer(4), size),
        };
        let bits = (member.offset.saturating_sub(DATA) * 8) as u32;
        fields.push(NewMember::new(&member.name, type_id, bits));
    }
    let data = types.structure(name, size as u32, &fields);
    let whole = (DATA + size).next_multiple_of(DATA) as u32;
    let around = [
        NewMember::new("common", common, 0),
        NewMember::new("data", data, DATA as u32 * 8),
    ];
    let value = types.structure(&value_name, whole, &around);
    let ids = OpsIds {
        data: data.0,
        value: value.0,
        size: whole,
    };
    let bytes = types.build().map_err(|_| Errno::EINVAL)?;
    Ok((bytes, ids))
}

/// A struct of functions: which programs are registered for it, and calling them. Its clones are
/// the same struct.
#[derive(Clone)]
pub struct StructOps {
    vm: Vm,
    ops: Arc<OpsType>,
}

impl fmt::Debug for StructOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.ops.registered().len();
        write!(f, "StructOps({}, {count} registered)", self.ops.name)
    }
}

impl StructOps {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ops.name
    }

    /// Those that are registered now, the earliest first. One that is unregistered or replaced
    /// afterwards can still be called by who has it here.
    #[must_use]
    pub fn instances(&self) -> Vec<StructOpsInstance> {
        let all = self.ops.registered();
        let all = all.iter().map(|instance| StructOpsInstance {
            vm: self.vm.clone(),
            ops: Arc::clone(&self.ops),
            instance: Arc::clone(instance),
        });
        all.collect()
    }

    /// Calls a function of the one that was registered first, and gives R0. `None`: none is
    /// registered, or it has no program for this function. Takes no lock.
    pub fn call(
        &self,
        function: &str,
        arguments: &mut [Argument<'_>],
    ) -> Option<Result<u64, Fault>> {
        let all = self.ops.registered();
        call(&self.vm, &self.ops, all.first()?, function, arguments)
    }
}

/// One struct that is registered: a set of programs, and its data.
#[derive(Clone)]
pub struct StructOpsInstance {
    vm: Vm,
    ops: Arc<OpsType>,
    instance: Arc<Instance>,
}

impl fmt::Debug for StructOpsInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StructOpsInstance({} by {})", self.ops.name, self.name())
    }
}

impl StructOpsInstance {
    /// The map's name, which is the variable's in the object: its first 15 bytes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.instance.map.name
    }

    /// The map's id.
    #[must_use]
    pub fn map_id(&self) -> u32 {
        self.instance.map.id
    }

    /// Whether it has a program for a function.
    #[must_use]
    pub fn has(&self, function: &str) -> bool {
        let at = self
            .ops
            .members
            .iter()
            .position(|member| member.name == function);
        at.and_then(|at| self.instance.contents.programs.get(at))
            .is_some_and(Option::is_some)
    }

    /// The bytes of a member that is no function.
    #[must_use]
    pub fn data(&self, member: &str) -> Option<&[u8]> {
        let member = self.ops.members.iter().find(|known| known.name == member)?;
        if matches!(member.kind, MemberKind::Function { .. }) {
            return None;
        }
        let value = self.instance.contents.value.get(member.offset..)?;
        value.get(..member.size())
    }

    /// Calls a function, and gives R0. `None`: it has no program for it. Takes no lock.
    pub fn call(
        &self,
        function: &str,
        arguments: &mut [Argument<'_>],
    ) -> Option<Result<u64, Fault>> {
        call(&self.vm, &self.ops, &self.instance, function, arguments)
    }
}

/// An argument of a call. What a call leaves out is 0; what a function does not take it does not
/// see.
#[derive(Debug)]
#[non_exhaustive]
pub enum Argument<'a> {
    /// A number.
    Number(u64),
    /// A pointer to memory that the program may read and write until it returns.
    Memory(&'a mut [u8]),
}

impl From<u64> for Argument<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a mut [u8]> for Argument<'a> {
    fn from(memory: &'a mut [u8]) -> Self {
        Self::Memory(memory)
    }
}

fn call(
    vm: &Vm,
    ops: &OpsType,
    instance: &Instance,
    function: &str,
    arguments: &mut [Argument<'_>],
) -> Option<Result<u64, Fault>> {
    let at = ops
        .members
        .iter()
        .position(|member| member.name == function)?;
    let MemberKind::Function {
        arguments: count, ..
    } = ops.members.get(at)?.kind
    else {
        return None;
    };
    let entry = instance.contents.programs.get(at)?.as_ref()?;
    let shared = &vm.0;
    let cpu = match shared.cpus.take(None) {
        Ok(cpu) => cpu,
        Err(errno) => {
            let name = &entry.program.name;
            return Some(Err(Fault::without_cpu(name, errno)));
        }
    };
    let mut words = [0_u64; MOST_ARGUMENTS as usize];
    let words = words.get_mut(..count as usize).unwrap_or_default();
    let mut lent = Vec::new();
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = match argument {
            Argument::Number(number) => *number,
            Argument::Memory([]) => 0,
            Argument::Memory(memory) => {
                let len = memory.len() as u64;
                let start = View::of(memory).address();
                let writable = true;
                lent.push(Ours {
                    start,
                    len,
                    writable,
                });
                start
            }
        };
    }
    let context = View::of(words.as_mut_bytes());
    let (start, len) = (context.address(), context.len() as u64);
    let prepare = |run: &Run<'_>| {
        for region in lent {
            run.grant(region);
        }
        // Programs read their arguments; nobody would see what they store there.
        if len > 0 {
            run.grant(Ours {
                start,
                len,
                writable: false,
            });
        }
    };
    fire(shared, &cpu, entry, [start, 0], prepare)
}
