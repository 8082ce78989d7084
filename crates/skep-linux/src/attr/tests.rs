//! Layouts against the C compiler's, and the packing of unions and names.

use std::mem::offset_of;

use super::*;

/// Offsets and sizes as a C compiler gives them for `linux/bpf.h` of 7.3.
#[test]
fn layouts_are_the_headers() {
    assert_eq!(offset_of!(MapCreate, map_name), 28);
    assert_eq!(offset_of!(MapCreate, map_extra), 64);
    assert_eq!(offset_of!(MapCreate, excl_prog_hash), 80);
    assert_eq!(offset_of!(MapElement, key), 8);
    assert_eq!(size_of::<MapElement>(), 32);
    assert_eq!(offset_of!(MapBatch, elem_flags), 40);
    assert_eq!(offset_of!(ProgLoad, prog_name), 48);
    assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
    assert_eq!(offset_of!(ProgLoad, log_true_size), 140);
    assert_eq!(size_of::<ProgLoad>(), 168);
    assert_eq!(offset_of!(ProgAttach, expected_revision), 24);
    assert_eq!(offset_of!(TestRun, ctx_in), 48);
    assert_eq!(offset_of!(TestRun, batch_size), 72);
    assert_eq!(offset_of!(ProgQuery, revision), 56);
    assert_eq!(offset_of!(RawTracepoint, cookie), 16);
    assert_eq!(size_of::<BtfLoad>(), 40);
    assert_eq!(offset_of!(TaskQuery, probe_addr), 40);
    assert_eq!(offset_of!(LinkCreate, options), 16);
    assert_eq!(size_of::<LinkUprobeMulti>(), 48);
    assert_eq!(offset_of!(LinkTracing, cookie), 8);
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
