//! Probes of map types: the smallest map of each, by the rules of `skep-abi`.

use skep_abi::{EntriesRule, LinkType, MapCreateFlags, MapProperties, MapType, SizeRule};
use skep_btf::{Builder, IntEncoding, KindTag, TypeId};
use skep_host::{Feature, Host, MapBtf, MapCreate, MapFd, Probe, Result};

use super::{
    kernel_type,
    least::{self, NAME, Refused},
};
use crate::{LinuxHost, requirement};

/// The kernel's value type of the struct_ops map that is tried: TCP is in every kernel that has
/// struct_ops.
const STRUCT_OPS_VALUE: &str = "bpf_struct_ops_tcp_congestion_ops";

/// Whether maps of a type can be created.
pub(super) fn probe(host: &LinuxHost, kind: MapType) -> Probe {
    match create(host, kind, MapCreateFlags::empty()) {
        Ok(_) => Probe::Yes,
        Err(Refused::By(error)) => Probe::refused(&error),
        Err(Refused::NoTarget(probe)) => {
            let needs = requirement::of_map(kind);
            super::older(host, &Feature::MapType(kind))
                .or_else(|| {
                    let cause = needs.lacking(host, kind.short_name())?;
                    Some(Probe::No { cause })
                })
                .unwrap_or(probe)
        }
    }
}

/// Whether a struct_ops map can be made for a link.
pub(super) fn struct_ops_link(host: &LinuxHost) -> Probe {
    let feature = Feature::LinkType(LinkType::StructOps);
    match create(host, MapType::StructOps, MapCreateFlags::LINK) {
        Ok(_) => Probe::Yes,
        Err(Refused::By(error)) => super::older(host, &feature).unwrap_or(Probe::refused(&error)),
        Err(Refused::NoTarget(probe)) => super::older(host, &feature).unwrap_or(probe),
    }
}

fn create(host: &LinuxHost, kind: MapType, more: MapCreateFlags) -> Result<MapFd, Refused> {
    let rules = kind.rules();
    let page = u32::try_from(host.page_size()).unwrap_or(4096);
    let mut request = MapCreate::new(
        kind,
        NAME,
        least_size(&rules.key_size, kind),
        least_size(&rules.value_size, kind),
        match rules.max_entries {
            EntriesRule::Zero => 0,
            EntriesRule::RingBytes => page,
            // Or one entry, or one page.
            _ => 1,
        },
    );
    request.flags = rules.required_flags | more;
    let template = MapCreate::new(MapType::Array, NAME, 4, 4, 1);
    let inner = rules
        .properties
        .contains(MapProperties::INNER_MAPS)
        .then(|| host.map_create(&template))
        .transpose()?;
    request.inner_map = inner.as_ref();
    let kernel_type = rules.properties.contains(MapProperties::NEEDS_KERNEL_TYPE);
    let typed = kernel_type || rules.properties.contains(MapProperties::NEEDS_BTF);
    let btf = typed
        .then(|| -> Result<_> { least::load_btf(host, &int_btf()?) })
        .transpose()?;
    request.btf = btf.as_ref().map(|btf| MapBtf {
        btf,
        key_type: 1,
        value_type: 1,
        kernel_value_type: 0,
        kernel_btf: None,
    });
    if kernel_type {
        let (id, size) = struct_ops_value(host).map_err(Refused::NoTarget)?;
        request.value_size = size;
        if let Some(btf) = &mut request.btf {
            (btf.key_type, btf.value_type, btf.kernel_value_type) = (0, 0, id);
        }
    }
    Ok(host.map_create(&request)?)
}

/// The size that all kernels take, of those that a rule allows.
fn least_size(rule: &SizeRule, kind: MapType) -> u32 {
    match rule {
        SizeRule::Zero => 0,
        SizeRule::Positive => 4,
        SizeRule::MultipleOf(unit) => *unit,
        SizeRule::Between(low, _) => (*low).max(8),
        // Of devices the shorter value is the older one, of these the longer.
        SizeRule::OneOf(sizes) => {
            let longer = matches!(
                kind,
                MapType::CgroupStorage | MapType::PercpuCgroupStorage | MapType::ReuseportSockarray
            );
            let sizes = sizes.iter().copied();
            let size = if longer { sizes.max() } else { sizes.min() };
            size.unwrap_or(4)
        }
        // A rule that this does not know: the size of a number.
        _ => 4,
    }
}

fn struct_ops_value(host: &LinuxHost) -> Result<(u32, u32), Probe> {
    let id = kernel_type(host, STRUCT_OPS_VALUE, KindTag::Struct)?;
    let size = host
        .found()
        .btf(host)
        .and_then(|btf| btf.size_of(TypeId(id)).ok())
        .and_then(|size| u32::try_from(size).ok());
    match size {
        Some(size) => Ok((id, size)),
        None => Err(Probe::unknown(format!(
            "the kernel's BTF does not say how large `{STRUCT_OPS_VALUE}` is"
        ))),
    }
}

/// BTF of one type, `int`.
pub(super) fn int_btf() -> Result<Vec<u8>> {
    let mut builder = Builder::new();
    builder.int("int", 4, IntEncoding::SIGNED);
    least::built(&builder)
}
