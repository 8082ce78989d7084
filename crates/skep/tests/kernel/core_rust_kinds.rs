//! Every kind of CO-RE relocation, written in Rust, a program each: by types that are made up it is
//! what they say, by others what those say, and of what is not there an error that names it. By Skep,
//! and by libbpf, whose instructions must be the same.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use skep::{
    Object,
    btf::{Btf, Builder, IntEncoding, KindTag, NewMember, NewType},
    spec::{CoreKind, Image},
};
use skep_testing::{Libbpf, Outcome, Stop, Test, View, ensure, expect_err};

use crate::support::host;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("core_rust_kinds::each_follows_the_types", follow),
        Test::new("core_rust_kinds::what_is_gone_is_named", gone),
    ]
}

/// One kind.
struct Kind {
    kind: CoreKind,
    /// What the program returns.
    body: &'static str,
    /// What the types of [`first`] and [`second`] say.
    says: [u64; 2],
    /// What [`without`] says: a number, or the name that the error must have.
    gone: Result<u64, &'static str>,
}

const KINDS: &[Kind] = &[
    Kind {
        kind: CoreKind::FieldByteOffset,
        body: "core_offset!(task_struct, inner.deep)",
        says: [20, 68],
        gone: Err("task_struct.inner.deep"),
    },
    Kind {
        kind: CoreKind::FieldByteSize,
        body: "core_size!(task_struct, comm)",
        says: [16, 32],
        gone: Err("task_struct.comm"),
    },
    Kind {
        kind: CoreKind::FieldExists,
        body: "core_exists!(task_struct, comm)",
        says: [1, 1],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::FieldSigned,
        body: "core_signed!(task_struct, pid)",
        says: [1, 0],
        gone: Err("task_struct.pid"),
    },
    Kind {
        kind: CoreKind::FieldLeftShift,
        body: "mode()",
        says: [64 - 3 - 1, 64 - 5 - 7],
        gone: Err("task_struct.mode"),
    },
    Kind {
        kind: CoreKind::FieldRightShift,
        body: "mode()",
        says: [64 - 3, 64 - 5],
        gone: Err("task_struct.mode"),
    },
    Kind {
        kind: CoreKind::TypeIdLocal,
        body: "core_type_id_local!(Node)",
        // The object's own: see `local`.
        says: [0, 0],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::TypeIdTarget,
        body: "core_type_id!(pair)",
        says: [2, 4],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::TypeExists,
        body: "core_type_exists!(pair)",
        says: [1, 1],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::TypeSize,
        body: "core_type_size!(pair)",
        says: [8, 24],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::EnumeratorExists,
        body: "core_enum_exists!(color::RED)",
        says: [1, 1],
        gone: Ok(0),
    },
    Kind {
        kind: CoreKind::EnumeratorValue,
        body: "core_enum!(color::RED).0",
        says: [5, 9],
        gone: Err("enum color::RED"),
    },
    Kind {
        kind: CoreKind::EnumeratorValue,
        body: "core_enum!(wide::HUGE).0",
        says: [0x1_0000_0007, 0x3_0000_0002],
        gone: Err("wide::HUGE"),
    },
    Kind {
        kind: CoreKind::TypeMatches,
        body: "core_type_matches!(pair)",
        says: [1, 0],
        gone: Ok(0),
    },
];

/// What is declared, and a program of one kind.
fn source(kind: &Kind) -> String {
    format!(
        "#![no_std]
#![no_main]
use skep_ebpf::{{helper::raw, prelude::*}};

license!(\"GPL\");

#[kernel]
struct inner {{
    deep: u32,
}}

#[kernel]
struct task_struct {{
    pid: i32,
    comm: [u8; 16],
    inner: inner,
    #[bits]
    mode: u32,
}}

#[kernel]
struct pair {{
    left: u32,
    right: u32,
}}

#[kernel]
enum color {{
    RED = 3,
}}

#[kernel]
#[repr(u64)]
enum wide {{
    HUGE = 0x9_0000_0000,
}}

#[repr(C)]
#[derive(Clone, Copy, Plain)]
struct Node {{
    key: u64,
}}

#[map]
static NODES: Array<Node, 1> = Array::new();

#[map]
static ANSWER: Array<u64, 1> = Array::new();

#[allow(dead_code)]
fn mode() -> u32 {{
    // SAFETY: the helper has no arguments.
    let task = unsafe {{ raw::bpf_get_current_task() }} as *const task_struct;
    core_read!(task.mode).unwrap_or(0)
}}

#[raw_tracepoint(\"sys_enter\")]
fn ask() -> Result {{
    if NODES.get(0).is_none() {{
        return Ok(());
    }}
    ANSWER.set(0, &({} as u64))
}}
",
        kind.body
    )
}

/// Types in which nothing is where the program thinks, or as it thinks.
struct Types {
    before: bool,
    pid_signed: bool,
    inner_at: u32,
    comm: u32,
    mode_at: u32,
    mode_bits: u8,
    pair: [u32; 2],
    red: i64,
    huge: u64,
}

const FIRST: Types = Types {
    before: false,
    pid_signed: true,
    inner_at: 16,
    comm: 16,
    mode_at: 256 * 8 + 1,
    mode_bits: 3,
    pair: [4, 8],
    red: 5,
    huge: 0x1_0000_0007,
};

const SECOND: Types = Types {
    before: true,
    pid_signed: false,
    inner_at: 64,
    comm: 32,
    mode_at: 512 * 8 + 7,
    mode_bits: 5,
    pair: [16, 24],
    red: 9,
    huge: 0x3_0000_0002,
};

impl Types {
    fn build(&self) -> Outcome<Vec<u8>> {
        let mut types = Builder::new();
        let unsigned = types.int("unsigned int", 4, IntEncoding::UNSIGNED);
        if self.before {
            types.int("long int", 8, IntEncoding::SIGNED);
            types.int("long unsigned int", 8, IntEncoding::UNSIGNED);
        }
        // Without one of its sides it matches no more.
        let left = [NewMember::new("left", unsigned, 0)];
        let [right_at, size] = self.pair;
        let right = match self.before {
            true => None,
            false => Some(NewMember::new("right", unsigned, right_at * 8)),
        };
        let members: Vec<_> = left.into_iter().chain(right).collect();
        types.structure("pair", size, &members);

        let signed = types.int("int", 4, IntEncoding::SIGNED);
        let character = types.int("char", 1, IntEncoding::default());
        let comm = types.array(character, unsigned, self.comm);
        let deep = types.structure("inner", 8, &[NewMember::new("deep", unsigned, 32)]);
        let pid = if self.pid_signed { signed } else { unsigned };
        let members = [
            NewMember::new("pid", pid, 8 * 8),
            NewMember::new("inner", deep, self.inner_at * 8),
            NewMember::new("comm", comm, 128 * 8),
            NewMember {
                bitfield_size: self.mode_bits,
                ..NewMember::new("mode", unsigned, self.mode_at)
            },
        ];
        types.structure("task_struct", 1024, &members);
        types.enumeration("color", &[("GREEN", 1), ("RED", self.red)]);
        types.add(NewType::Enum64 {
            name: "wide",
            size: 8,
            signed: false,
            values: &[("SMALL", 1), ("HUGE", self.huge)],
        });
        Ok(types.build()?)
    }
}

/// Types without anything that is asked for.
fn without() -> Outcome<Vec<u8>> {
    let mut types = Builder::new();
    let unsigned = types.int("unsigned int", 4, IntEncoding::UNSIGNED);
    types.structure("task_struct", 8, &[NewMember::new("flags", unsigned, 0)]);
    types.enumeration("color", &[("GREEN", 1)]);
    types.add(NewType::Enum64 {
        name: "wide",
        size: 8,
        signed: false,
        values: &[("SMALL", 1 << 40)],
    });
    Ok(types.build()?)
}

/// What Skep and libbpf make of a program by some types.
struct Made {
    object: Object,
    image: Image,
    theirs: View,
}

fn by(libbpf: &Libbpf, folder: &Path, bytes: &[u8], types: Vec<u8>) -> Outcome<Made> {
    let (object_file, btf_file) = (folder.join("kind.o"), folder.join("kind.btf"));
    fs::write(&object_file, bytes)?;
    fs::write(&btf_file, &types)?;
    let mut object = Object::parse("kind", bytes)?;
    object.core_btf(Arc::new(Btf::parse(types)?));
    let image = object.link(host())?;
    let theirs = libbpf.load_by(&object_file, &btf_file)?;
    Ok(Made {
        object,
        image,
        theirs,
    })
}

/// The numbers at the instructions that have a relocation of a kind.
fn numbers(made: &Made, kind: CoreKind) -> Outcome<Vec<u64>> {
    let function = made
        .object
        .spec()
        .functions()
        .iter()
        .find(|function| function.name == "ask");
    let function = function.ok_or_else(|| Stop::fail("no function"))?;
    let ask = made
        .image
        .program("ask")
        .ok_or_else(|| Stop::fail("no program"))?;
    let at = function
        .core_relocations
        .iter()
        .filter(|relocation| relocation.kind == kind);
    let numbers = at.filter_map(|relocation| {
        let at = relocation.insn.as_usize();
        let insn = ask.instructions.get(at)?;
        let low = u64::from(insn.imm.cast_unsigned());
        Some(match insn.opcode {
            // A load of 64 bits.
            0x18 => low | u64::from(ask.instructions.get(at + 1)?.imm.cast_unsigned()) << 32,
            _ => low,
        })
    });
    Ok(numbers.collect())
}

fn each(what: impl Fn(&Kind, &dyn Fn(Vec<u8>) -> Outcome<Made>) -> Outcome) -> Outcome {
    let folder = tempfile::tempdir()?;
    let libbpf = Libbpf::build(folder.path())?;
    for (index, kind) in KINDS.iter().enumerate() {
        let path = folder.path().join(format!("kind_{index}.rs"));
        fs::write(&path, source(kind))?;
        let bytes = skep_testing::compile(&path, env!("CARGO_TARGET_TMPDIR"))?;
        what(kind, &|types| by(&libbpf, folder.path(), &bytes, types)).map_err(
            |stop| match stop {
                Stop::Fail(says) => Stop::fail(format!("{:?}, {}: {says}", kind.kind, kind.body)),
                skip => skip,
            },
        )?;
    }
    Ok(())
}

/// The number of a type of the object's own.
fn local(object: &Object) -> Outcome<u64> {
    let id = object
        .spec()
        .btf()
        .and_then(|btf| btf.find("Node", KindTag::Struct));
    Ok(id.ok_or_else(|| Stop::fail("no Node"))?.0.into())
}

/// That there are some, and all are one. (A bit field has two instructions that shift right.)
fn are(numbers: &[u64], says: u64) -> Outcome {
    let right = !numbers.is_empty() && numbers.iter().all(|number| *number == says);
    ensure(right, || format!("{numbers:?}, not {says}"))
}

fn same(made: &Made) -> Outcome {
    let ours = View::of(made.object.spec(), &made.image, 1);
    ensure(ours.programs == made.theirs.programs, || {
        format!("{:#?}\nlibbpf: {:#?}", ours.programs, made.theirs.programs)
    })
}

fn follow() -> Outcome {
    let all: BTreeSet<u32> = CoreKind::ALL.iter().map(|kind| *kind as u32).collect();
    let tried: BTreeSet<u32> = KINDS.iter().map(|kind| kind.kind as u32).collect();
    ensure(tried == all, || format!("kinds {tried:?}"))?;
    each(|kind, by| {
        for (types, says) in [FIRST, SECOND].iter().zip(kind.says) {
            let made = by(types.build()?)?;
            let says = match kind.kind {
                CoreKind::TypeIdLocal => local(&made.object)?,
                _ => says,
            };
            let numbers = numbers(&made, kind.kind)?;
            are(&numbers, says)?;
            same(&made)?;
            let refused = &made.theirs.refusal;
            ensure(refused.is_none(), || format!("{refused:?}"))?;
        }
        Ok(())
    })
}

fn gone() -> Outcome {
    each(|kind, by| {
        let made = by(without()?)?;
        match kind.gone {
            Ok(says) => {
                let says = match kind.kind {
                    CoreKind::TypeIdLocal => local(&made.object)?,
                    _ => says,
                };
                let numbers = numbers(&made, kind.kind)?;
                are(&numbers, says)?;
                same(&made)
            }
            Err(name) => {
                let object = made.object;
                let error = expect_err("what is gone", object.load(host()))?.to_string();
                ensure(error.contains(name), || format!("{error}: not {name}"))?;
                let theirs = made
                    .theirs
                    .refusal
                    .ok_or_else(|| Stop::fail("libbpf loads it"))?;
                ensure(theirs.contains(name), || {
                    format!("libbpf: {theirs}: not {name}")
                })
            }
        }
    })
}
