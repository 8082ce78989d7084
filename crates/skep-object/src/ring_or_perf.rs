//! Ring buffers that may become perf buffers: maps of programs that were written for either
//! (`SKEP_OR_PERF_BUFFER` of `skep.h`), where the target has no ring buffers.
//!
//! Such programs ask by a CO-RE relocation whether the kernel's types have the helper that writes to
//! ring buffers, so that the verifier sees one of both ways only, however old it is. The map must
//! come out the same, and is decided by the same types.

use skep_abi::{LoaderFeature as Feature, MapType};
use skep_btf::{Btf, Kind, KindTag};

use crate::{Features, ImageMap, Object, Target, features::Lacking};

/// The tag of such a map.
const TAG: &str = "skep:or_perf_buffer";

/// What programs ask for.
const ENUM: &str = "bpf_func_id";
const HELPER: &str = "BPF_FUNC_ringbuf_output";

/// What the target has, with ring buffers by what its types say where that counts.
pub(crate) fn features(object: &Object, target: &Target) -> Features {
    let types = target.core_btf.as_ref().or(target.kernel_btf.as_ref());
    match types {
        Some(types) if tagged(object).next().is_some() => match has_helper(types) {
            true => target.features.with(Feature::RingBuffers),
            false => target.features.without(Feature::RingBuffers),
        },
        _ => target.features,
    }
}

/// Makes perf buffers of such ring buffers, if the target lacks the latter.
pub(crate) fn downgrade(object: &Object, maps: &mut [ImageMap], lacking: &mut Lacking) {
    for name in tagged(object) {
        let mut maps = maps.iter_mut();
        let Some(map) = maps.find(|map| map.name == name) else {
            continue;
        };
        // What the user chose otherwise stays.
        if map.map_type != MapType::Ringbuf || !lacking.uses(Feature::RingBuffers) {
            continue;
        }
        map.map_type = MapType::PerfEventArray;
        (map.key_size, map.value_size) = (4, 4);
        (map.key_type, map.value_type) = (None, None);
        // One for each CPU.
        map.max_entries = 0;
    }
}

fn tagged(object: &Object) -> impl Iterator<Item = &str> {
    let btf = object.btf();
    let is_tagged = move |name: &&str| {
        btf.is_some_and(|btf| {
            let variable = btf.find(name, KindTag::Variable);
            variable.is_some_and(|id| btf.decl_tags(id, None).any(|tag| tag == TAG))
        })
    };
    let maps = object.maps().iter();
    maps.filter(|map| map.map_type == MapType::Ringbuf)
        .map(|map| map.name.as_str())
        .filter(is_tagged)
}

fn has_helper(types: &Btf) -> bool {
    types.find_by_name(ENUM).any(|id| {
        let Ok(found) = types.type_by_id(id) else {
            return false;
        };
        match found.kind() {
            Kind::Enum(values) | Kind::Enum64(values) => {
                values.values().any(|value| value.name() == HELPER)
            }
            _ => false,
        }
    })
}
