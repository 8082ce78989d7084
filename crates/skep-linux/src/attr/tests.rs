//! Layouts against the C compiler's, and the packing of unions and names.

use std::mem::offset_of;

use skep_abi::StructLayout;

use super::*;

/// Name, offset and size of each field.
pub(crate) type Fields = &'static [(&'static str, usize, usize)];

/// A struct whose fields can be held against the header's.
pub(crate) trait Layout {
    /// Its fields, in order.
    const FIELDS: Fields;
}

/// The structs that stand for the parts of `union bpf_attr`: of anonymous parts by their first
/// member, of named parts by their name; and where they begin.
const PARTS: &[(&str, Fields, usize)] = &[
    ("map_type", MapCreate::FIELDS, 0),
    ("map_fd", MapElement::FIELDS, 0),
    ("batch", MapBatch::FIELDS, 0),
    ("prog_type", ProgLoad::FIELDS, 0),
    ("pathname", Object::FIELDS, 0),
    ("target_fd", ProgAttach::FIELDS, 0),
    ("test", TestRun::FIELDS, 0),
    ("start_id", Id::FIELDS, 0),
    ("info", Info::FIELDS, 0),
    ("query", ProgQuery::FIELDS, 0),
    ("raw_tracepoint", RawTracepoint::FIELDS, 0),
    ("btf", BtfLoad::FIELDS, 0),
    ("task_fd_query", TaskQuery::FIELDS, 0),
    ("link_create", LinkCreate::FIELDS, 0),
    ("link_create.target_btf_id", LinkTracing::FIELDS, 16),
    ("link_create.iter_info", LinkIterator::FIELDS, 16),
    ("link_create.iter_info_len", LinkIterator::FIELDS, 16),
    ("link_create.perf_event", LinkPerfEvent::FIELDS, 16),
    ("link_create.kprobe_multi", LinkKprobeMulti::FIELDS, 16),
    ("link_create.tracing", LinkTracing::FIELDS, 16),
    ("link_create.netfilter", LinkNetfilter::FIELDS, 16),
    ("link_create.tcx", LinkOrdered::FIELDS, 16),
    ("link_create.uprobe_multi", LinkUprobeMulti::FIELDS, 16),
    ("link_create.netkit", LinkOrdered::FIELDS, 16),
    ("link_create.cgroup", LinkOrdered::FIELDS, 16),
    ("link_create.tracing_multi", LinkTracingMulti::FIELDS, 16),
    ("link_update", LinkUpdate::FIELDS, 0),
    ("link_detach", LinkDetach::FIELDS, 0),
    ("enable_stats", EnableStats::FIELDS, 0),
    ("iter_create", IterCreate::FIELDS, 0),
    ("prog_bind_map", BindMap::FIELDS, 0),
    ("token_create", TokenCreate::FIELDS, 0),
    ("prog_stream_read", StreamRead::FIELDS, 0),
    ("prog_assoc_struct_ops", AssocStructOps::FIELDS, 0),
];

/// Every member of the union that the uapi header has is a field of ours, at the same place and of
/// the same size: a member that a newer header brings fails here.
#[test]
fn every_member_of_the_union_has_its_field() {
    let layout = StructLayout::by_name("bpf_attr").expect("a layout");
    let mut anonymous = "";
    for member in layout.fields {
        // The longest part whose name the member's begins with; an anonymous part goes on until
        // the first member of the next.
        let named = PARTS
            .iter()
            .filter(|(part, ..)| {
                member.name == *part
                    || member
                        .name
                        .strip_prefix(part)
                        .is_some_and(|rest| rest.starts_with('.'))
            })
            .max_by_key(|(part, ..)| part.len());
        let (part, fields, base) = match named {
            Some(found) => found,
            None => PARTS
                .iter()
                .find(|(part, ..)| *part == anonymous)
                .expect("a part to belong to"),
        };
        if !member.name.contains('.') {
            anonymous = part;
        }
        let place = member.offset as usize - base;
        let size = member.byte_len() as usize;
        assert!(
            fields
                .iter()
                .any(|&(_, offset, len)| offset == place && len == size),
            "{} at {place} of {size} bytes is not in {part}: {fields:?}",
            member.name
        );
    }
    let common = StructLayout::by_name("bpf_common_attr").expect("a layout");
    for member in common.fields {
        let field = (member.name, member.offset as usize, member.size as usize);
        assert!(Common::FIELDS.contains(&field), "{field:?}");
    }
}

/// Sizes and offsets of the other structs as a C compiler gives them for `linux/bpf.h` of 7.3.
#[test]
fn layouts_are_the_headers() {
    assert_eq!(size_of::<IteratorTarget>(), 16);
    assert_eq!(size_of::<ProgInfo>(), 232);
    assert_eq!(offset_of!(ProgInfo, run_time_ns), 192);
    assert_eq!(size_of::<MapInfo>(), 104);
    assert_eq!(size_of::<BtfInfo>(), 32);
    assert_eq!(size_of::<LinkInfo>(), 64);
    assert_eq!(size_of::<KprobeLinkInfo>(), 48);
    assert_eq!(offset_of!(IteratorLinkInfo, order), 24);
    assert_eq!(offset_of!(TracingMultiLinkInfo, cookies), 32);
    assert_eq!(offset_of!(EventLinkInfo, cookie), 24);
    assert_eq!(size_of::<TokenInfo>(), 32);
    assert_eq!(size_of::<PerfEvent>(), 112);
}

#[test]
fn names_are_what_the_kernel_takes() {
    assert_eq!(text(&object_name("a-b c.d_e")), "a_b_c.d_e");
    assert_eq!(
        text(&object_name("a_name_longer_than_it_keeps")),
        "a_name_longer_t"
    );
    assert_eq!(text(&object_name("")), "");
}

#[test]
fn unions_pack_and_unpack() {
    let info = CgroupLinkInfo {
        cgroup_id: 7,
        attach_type: 3,
        reserved: 0,
    };
    let back: CgroupLinkInfo = unpack(&pack(&info));
    assert_eq!((back.cgroup_id, back.attach_type), (7, 3));
}
