//! The maps and types that the programs of these tests use, in the kernel and for the verifier.

use std::sync::Arc;

use skep_abi::{MapCreateFlags, MapType as M};
use skep_btf::{Btf, Builder, FunctionLinkage, IntEncoding, NewMember, NewType, TypeId};
use skep_host::{BtfFd, BtfLoad, Host, LogLevel, MapBtf, MapCreate, MapFd, ProgramBtf};
use skep_isa::{InsnIndex, RawInsn};
use skep_testing::{Outcome, Stop};
use skep_verifier::{Fields, Function, Map, MapId, MapUse, Program};

use super::hooks::Hook;
use crate::harness::{host, name};

/// Bytes of the values of most maps.
pub(super) const VALUE: u32 = 64;

/// A map, on both sides.
struct Pair {
    name: &'static str,
    kernel: MapFd,
    ours: Map,
}

/// What the kernel says, and what the verifier says.
pub(super) type Verdicts = (Result<(), String>, Result<(), String>);

/// All that programs use.
pub(super) struct Scene {
    maps: Vec<Pair>,
    btf: BtfFd,
    types: Arc<Btf>,
    functions: [TypeId; 2],
}

/// Types of values with something of the kernel's in them.
struct Types {
    int: TypeId,
    locked: TypeId,
    timed: TypeId,
    pointed: TypeId,
    functions: [TypeId; 2],
}

fn types(builder: &mut Builder) -> Types {
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    let long = builder.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let lock = builder.structure("bpf_spin_lock", 4, &[NewMember::new("val", int, 0)]);
    let two = builder.array(long, int, 2);
    let timer = builder.structure("bpf_timer", 16, &[NewMember::new("opaque", two, 0)]);
    let task = builder.structure("task_struct", 8, &[NewMember::new("x", long, 0)]);
    let tagged = builder.add(NewType::TypeTag {
        name: "kptr",
        target: task,
        attribute: false,
    });
    let pointer = builder.pointer(tagged);
    let mut value = |name: &str, field: TypeId| {
        let members = [
            NewMember::new("before", long, 0),
            NewMember::new("field", field, 64),
            NewMember::new("behind", two, 256),
        ];
        builder.structure(name, VALUE, &members)
    };
    let (locked, timed, pointed) = (
        value("locked", lock),
        value("timed", timer),
        value("pointed", pointer),
    );
    let prototype = builder.prototype(int, &[]);
    let functions = [
        builder.function("program", prototype, FunctionLinkage::Static),
        builder.function("call_back", prototype, FunctionLinkage::Static),
    ];
    Types {
        int,
        locked,
        timed,
        pointed,
        functions,
    }
}

impl Scene {
    pub(super) fn new() -> Result<Self, Stop> {
        let mut builder = Builder::new();
        let ids = types(&mut builder);
        let bytes = builder.build()?;
        let label = name("types");
        let btf = host().btf_load(&BtfLoad {
            object: &label,
            bytes: &bytes,
            log_level: LogLevel::OnFailure,
            token: None,
        })?;
        let mut scene = Self {
            maps: Vec::new(),
            btf,
            types: Arc::new(Btf::parse(bytes)?),
            functions: ids.functions,
        };
        let none = MapCreateFlags::empty();
        for (name, kind, key, value, entries, flags) in [
            ("array", M::Array, 4, VALUE, 1, none),
            ("hash", M::Hash, 4, VALUE, 4, none),
            ("percpu_array", M::PercpuArray, 4, VALUE, 1, none),
            ("programs", M::ProgArray, 4, 4, 1, none),
            ("events", M::PerfEventArray, 4, 4, 1, none),
            ("stacks", M::StackTrace, 4, 8 * 8, 4, none),
            ("cgroups", M::CgroupArray, 4, 4, 1, none),
            ("devices", M::Devmap, 4, 4, 1, none),
            ("sockets", M::Sockmap, 4, 4, 1, none),
            ("sockhash", M::Sockhash, 4, 4, 1, none),
            ("ports", M::ReuseportSockarray, 4, 8, 1, none),
            ("queue", M::Queue, 0, VALUE, 4, none),
            ("bloom", M::BloomFilter, 0, VALUE, 4, none),
            ("ring", M::Ringbuf, 0, 0, 4096, none),
            ("user_ring", M::UserRingbuf, 0, 0, 4096, none),
            ("cgroup_storage", M::CgroupStorage, 8, VALUE, 0, none),
            (
                "read_only",
                M::Array,
                4,
                VALUE,
                1,
                MapCreateFlags::RDONLY_PROG,
            ),
        ] {
            scene.map(name, kind, key, value, entries, flags, None)?;
        }
        let storage = MapCreateFlags::NO_PREALLOC;
        for (name, kind) in [
            ("sk_storage", M::SkStorage),
            ("inode_storage", M::InodeStorage),
            ("task_storage", M::TaskStorage),
            ("cgrp_storage", M::CgrpStorage),
        ] {
            // The LSM's may not be there.
            let made = scene.map(name, kind, 4, 4, 0, storage, Some((ids.int, ids.int)));
            if made.is_err() {
                skep_testing::lacks(format!("maps of type {kind}"));
            }
        }
        for (name, value) in [
            ("locked", ids.locked),
            ("timed", ids.timed),
            ("pointed", ids.pointed),
        ] {
            scene.map(name, M::Array, 4, VALUE, 1, none, Some((ids.int, value)))?;
        }
        let read_only = MapCreateFlags::RDONLY_PROG;
        scene.map("constant", M::Array, 4, VALUE, 1, read_only, None)?;
        scene.freeze()?;
        Ok(scene)
    }

    #[expect(clippy::too_many_arguments, reason = "a row of the table above")]
    fn map(
        &mut self,
        label: &'static str,
        kind: M,
        key: u32,
        value: u32,
        entries: u32,
        flags: MapCreateFlags,
        types: Option<(TypeId, TypeId)>,
    ) -> Outcome {
        let full = name(label);
        let mut request = MapCreate::new(kind, &full, key, value, entries);
        request.flags = flags;
        let mut ours = Map::new(label, kind, key, value, entries);
        ours.flags = flags;
        if let Some((key, value)) = types {
            request.btf = Some(MapBtf {
                btf: &self.btf,
                key_type: key.0,
                value_type: value.0,
                kernel_value_type: 0,
                kernel_btf: None,
            });
            ours.btf = Some(Arc::clone(&self.types));
            ours.key_type = Some(key);
            ours.value_type = Some(value);
            ours.fields = Arc::new(Fields::of(&self.types, value));
        }
        let kernel = host().map_create(&request)?;
        self.maps.push(Pair {
            name: label,
            kernel,
            ours,
        });
        Ok(())
    }

    /// Fills and freezes the map of constants: `%d` and a NUL at its start.
    fn freeze(&mut self) -> Outcome {
        let mut value = vec![b'x'; VALUE as usize];
        value[..3].copy_from_slice(b"%d\0");
        if let Some(constant) = self.maps.iter_mut().find(|pair| pair.name == "constant") {
            host().map_update_elem(&constant.kernel, &[0; 4], &value, 0)?;
            host().map_freeze(&constant.kernel)?;
            constant.ours.constant = Some(Arc::from(value));
            constant.ours.frozen = true;
        }
        Ok(())
    }

    /// The number of a map, for `map[idx:N]`.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.maps.iter().position(|pair| pair.name == name)
    }

    /// The name of the first map of a type.
    pub(super) fn of_type(&self, kind: M) -> Option<&'static str> {
        let pair = self.maps.iter().find(|pair| pair.ours.map_type == kind)?;
        Some(pair.name)
    }

    /// What the kernel and the verifier say about a program. The function that is called back, if
    /// there is one, begins at `call_back`.
    pub(super) fn verdicts(
        &self,
        hook: &Hook,
        slots: &[RawInsn],
        call_back: Option<usize>,
    ) -> Result<Verdicts, Stop> {
        const OF_MAPS: [u8; 2] = [5, 6];
        let code = skep_isa::encode_slots(slots, skep_isa::Endian::NATIVE);
        let mut program = Program::new(hook.program, "verdict", slots);
        hook.describe(&mut program);
        let mut used = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            if slot.opcode != 0x18 || !OF_MAPS.contains(&slot.src) {
                continue;
            }
            let number = slot.imm as usize;
            let place = used.iter().position(|one| *one == number);
            let place = place.unwrap_or_else(|| {
                used.push(number);
                used.len() - 1
            });
            program.map_uses.push(MapUse {
                insn: InsnIndex(index as u32),
                map: MapId(place as u32),
                value_offset: (slot.src == 6).then(|| slots[index + 1].imm as u32),
            });
        }
        program.maps = used
            .iter()
            .map(|number| self.maps[*number].ours.clone())
            .collect();
        let descriptors: Vec<i32> = self.maps.iter().map(|pair| pair.kernel.raw()).collect();
        let mut records = [0_u8; 16];
        if let Some(start) = call_back {
            program.btf = Some(Arc::clone(&self.types));
            let starts = [0, start as u32];
            for (index, (start, function)) in starts.iter().zip(self.functions).enumerate() {
                let at = index * 8;
                records[at..at + 4].copy_from_slice(&start.to_ne_bytes());
                records[at + 4..at + 8].copy_from_slice(&function.0.to_ne_bytes());
                program.functions.push(Function {
                    name: ["program", "call_back"][index].into(),
                    start: InsnIndex(*start),
                    type_id: Some(function),
                });
            }
        }
        let types = call_back.is_some().then(|| ProgramBtf {
            func_info: &records,
            func_info_record_size: 8,
            ..ProgramBtf::new(&self.btf)
        });
        let kernel = hook.kernel_with(&code, &descriptors, types);
        let options = skep_verifier::Options::default();
        let ours = skep_verifier::verify(&program, super::target()?, &options);
        let ours = match ours.rejection {
            Some(why) => Err(why.to_string()),
            None => Ok(()),
        };
        Ok((kernel, ours))
    }
}
