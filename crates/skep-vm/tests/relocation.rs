//! Programs that were compiled for another kernel, relocated for the machine by its BTF: fields
//! move or are not there, kfuncs and hooks are found by name.

use std::path::Path;
use std::sync::Arc;

use skep_abi::KernelVersion;
use skep_btf::{Btf, Kind, KindTag, TypeId};
use skep_object::{Image, LinkOptions, Object, Target};
use skep_testing::Stop;
use skep_vm::{Engine, Vm};

fn vm_btf() -> Arc<Btf> {
    let bytes = include_bytes!("../src/generated/vm.btf").to_vec();
    Arc::new(Btf::parse(bytes).expect("vm.btf parses"))
}

/// The programs of `c/relocation.bpf.c` for the machine; `None` without a compiler.
fn linked(btf: &Arc<Btf>) -> Option<Image> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/relocation.bpf.c");
    let object = match skep_testing::compile(&source, env!("CARGO_TARGET_TMPDIR")) {
        Ok(object) => object,
        Err(Stop::Skip(lacking)) => {
            skep_testing::lacks(lacking);
            return None;
        }
        Err(stop) => panic!("{stop:?}"),
    };
    let object = Object::parse(&object).expect("an object");
    let target = Target::new(KernelVersion::new(6, 18)).with_kernel_btf(Arc::clone(btf));
    let image = object.link(&LinkOptions::default(), &target);
    Some(image.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn fields_are_where_the_machine_has_them() {
    let btf = vm_btf();
    let Some(image) = linked(&btf) else { return };
    let task = btf.find("task_struct", KindTag::Struct).expect("a task");
    let size = btf.size_of(task).expect("its size");
    let offset = |field| {
        let Kind::Struct(task) = btf.type_by_id(task).expect("a task").kind() else {
            unreachable!("it was found as a structure");
        };
        let member = task.members().find(|member| member.name() == field);
        u64::from(member.expect(field).bit_offset / 8)
    };

    let program = image.program("fields").expect("the program");
    let vm = Vm::new().expect("memory");
    let program = vm
        .bare("fields", &program.instructions, Engine::Interpreter)
        .expect("it loads");
    let mut bytes = vec![0; size as usize];
    let tgid = offset("tgid") as usize;
    bytes[tgid..tgid + 4].copy_from_slice(&1234_u32.to_ne_bytes());
    let hash = 1;
    assert_eq!(
        program.run(&mut bytes),
        Ok(1234 + offset("pid") + size + hash)
    );
}

#[test]
fn kfuncs_are_found_and_fit() {
    let btf = vm_btf();
    let Some(image) = linked(&btf) else { return };
    let program = image.program("kfuncs").expect("the program");
    let called: Vec<_> = program
        .instructions
        .iter()
        .filter(|slot| slot.opcode == 0x85 && slot.src == 2)
        .map(|slot| {
            btf.type_by_id(TypeId(slot.imm as u32))
                .map(|kfunc| kfunc.name())
        })
        .collect::<Result<_, _>>()
        .expect("the machine's functions");
    for name in [
        "bpf_iter_num_new",
        "bpf_iter_num_next",
        "bpf_iter_num_destroy",
        "bpf_rbtree_first",
        "bpf_dynptr_slice",
    ] {
        assert!(called.contains(&name), "{name}: {called:?}");
    }
}

#[test]
fn hooks_are_found_by_name() {
    let btf = vm_btf();
    let Some(image) = linked(&btf) else { return };
    for (program, hook, tag) in [
        ("traced", "btf_trace_sys_enter", KindTag::Typedef),
        ("iterated", "bpf_iter_bpf_map_elem", KindTag::Function),
    ] {
        let attach = &image.program(program).expect(program).attach_btf;
        let found = attach.as_ref().map(|attach| attach.type_id);
        assert_eq!(found, btf.find(hook, tag), "{program}");
    }
}
