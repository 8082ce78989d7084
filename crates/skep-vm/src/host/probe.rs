//! What the machine has: read off its tables, not found by trying.

use std::sync::Arc;

use skep_abi::{
    EntriesRule, HelperAccess, LinkType, LoaderFeature, MapCreateFlags, MapType, ProgramType,
    SizeRule,
};
use skep_btf::KindTag;
use skep_host::{Cause, Feature, Hook, Probe};

use super::machine::config;
use crate::{
    Vm, helper, kfunc,
    machine::types,
    map::{Fields, Shape, create},
};

/// Program types that there is nothing for in user space.
const ABSENT: &[ProgramType] = &[
    ProgramType::Unspec,
    // It takes the place of another program's function, which is resolved when that is loaded.
    ProgramType::Ext,
    // Infrared receivers.
    ProgramType::LircMode2,
];

/// Whether the machine takes programs of a type.
pub(super) fn hosts(program_type: ProgramType) -> bool {
    !ABSENT.contains(&program_type)
}

fn answer(has: bool, what: impl FnOnce() -> String) -> Probe {
    match has {
        true => Probe::Yes,
        false => Probe::No {
            cause: Cause::Other {
                what: format!("the vm has no {}", what()),
                fix: "use a kernel that has it".into(),
            },
        },
    }
}

pub(super) fn probe(vm: &Vm, feature: &Feature) -> Probe {
    let has = match feature {
        Feature::ProgramType(kind) => hosts(*kind),
        Feature::MapType(kind) => makes(vm, *kind),
        Feature::Helper(helper, program) => {
            hosts(*program)
                && helper.access_from(*program) != HelperAccess::No
                && helper::by_id(helper.id).is_some()
        }
        Feature::KernelFunction(name, program) => {
            hosts(*program)
                && kfunc::by_name(name).is_some()
                && types::types().find(name, KindTag::Function).is_some()
        }
        Feature::AttachType(kind) => ProgramType::ALL
            .iter()
            .any(|program| hosts(*program) && program.attach_types().contains(kind)),
        Feature::LinkType(kind) => *kind != LinkType::Unspec,
        Feature::Hook(hook) => return hooked(vm, *hook),
        Feature::Loader(feature) => loads(*feature),
        Feature::KernelOption(option) => {
            return match config(vm, option) {
                Some(_) => Probe::Yes,
                None => Probe::No {
                    cause: Cause::KernelOption(option),
                },
            };
        }
        _ => return Probe::unknown("this version of the vm does not know the question"),
    };
    answer(has, || feature.to_string())
}

fn hooked(vm: &Vm, hook: Hook) -> Probe {
    // Every machine has the functions of system calls; those can only be probed.
    if matches!(hook, Hook::Fentry | Hook::Lsm) && !vm.0.hooks.defines_functions() {
        return Probe::No {
            cause: Cause::Other {
                what: "the vm has no functions for this hook but those that its embedder defines"
                    .into(),
                fix: "use tracepoint, raw_tp, tp_btf or ksyscall".into(),
            },
        };
    }
    answer(hook != Hook::PerfHardware, || format!("hook {hook}"))
}

fn loads(feature: LoaderFeature) -> bool {
    !matches!(feature, LoaderFeature::Tokens)
}

/// Whether maps of a type can be made.
fn makes(vm: &Vm, map_type: MapType) -> bool {
    if map_type == MapType::StructOps {
        // These need a type of the embedder's to be made.
        return true;
    }
    let inner = map_type
        .has_inner_maps()
        .then(|| Arc::new(least(vm, MapType::Array, None)));
    create(least(vm, map_type, inner)).is_ok()
}

/// The smallest shape of a type.
fn least(vm: &Vm, map_type: MapType, inner: Option<Arc<Shape>>) -> Shape {
    let rules = map_type.rules();
    let size = |rule: SizeRule| match rule {
        SizeRule::Zero => 0,
        SizeRule::OneOf(sizes) => sizes.first().copied().unwrap_or(4),
        SizeRule::MultipleOf(unit) => unit,
        SizeRule::Between(low, _) => low.max(4),
        _ => 4,
    };
    let mut flags = rules.required_flags;
    if map_type == MapType::LpmTrie {
        flags |= MapCreateFlags::NO_PREALLOC;
    }
    Shape {
        map_type,
        key_size: if map_type == MapType::LpmTrie {
            8
        } else {
            size(rules.key_size)
        },
        value_size: size(rules.value_size),
        max_entries: match rules.max_entries {
            EntriesRule::Zero => 0,
            EntriesRule::RingBytes => crate::memory::PAGE as u32,
            _ => 1,
        },
        flags,
        map_extra: 0,
        on_node: false,
        cpus: vm.0.cpus.count(),
        fields: Fields::default(),
        inner,
        files: Arc::clone(&vm.0.registry.files),
        machine: Arc::downgrade(&vm.0),
    }
}
