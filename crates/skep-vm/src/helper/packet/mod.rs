//! Helpers on packets, their metadata and checksums; redirects and routes; sockets as packets have
//! them.

mod about;
mod bytes;
mod frame;
mod maps;
mod route;
mod shape;
mod socket;
mod sums;
mod tunnel;

use super::{Arguments, Outcome, Table, errno, shim};
use crate::{
    FaultKind,
    run::{Run, packet::PacketKind},
};

pub(crate) use bytes::{load as load_bytes, store as store_bytes};
pub(crate) use frame::{copy_in, copy_out, frame, pull};

pub(super) static TABLE: Table = &[
    (9, shim!(bytes::skb_store_bytes)),
    (10, shim!(sums::l3_csum_replace)),
    (11, shim!(sums::l4_csum_replace)),
    (13, shim!(route::clone_redirect)),
    (17, shim!(about::zero)),
    (18, shim!(shape::vlan_push)),
    (19, shim!(shape::vlan_pop)),
    (20, shim!(tunnel::key)),
    (21, shim!(tunnel::set_key)),
    (23, shim!(route::redirect)),
    (24, shim!(about::zero)),
    (26, shim!(bytes::skb_load_bytes)),
    (28, shim!(sums::csum_diff)),
    (29, shim!(tunnel::options)),
    (30, shim!(tunnel::set_options)),
    (31, shim!(shape::change_proto)),
    (32, shim!(shape::change_type)),
    (33, shim!(maps::under_cgroup)),
    (34, shim!(about::hash_recalc)),
    (38, shim!(shape::change_tail)),
    (39, shim!(bytes::skb_pull_data)),
    (40, shim!(sums::csum_update)),
    (41, shim!(about::set_hash_invalid)),
    (43, shim!(shape::change_head)),
    (44, shim!(frame::adjust_head)),
    (46, shim!(about::socket_cookie)),
    (47, shim!(about::socket_uid)),
    (48, shim!(about::set_hash)),
    (50, shim!(shape::adjust_room)),
    (51, shim!(route::redirect_map)),
    (52, shim!(maps::redirect_map)),
    (54, shim!(frame::adjust_meta)),
    (65, shim!(frame::adjust_tail)),
    (68, shim!(bytes::skb_load_bytes_relative)),
    (69, shim!(route::fib_lookup)),
    (72, shim!(maps::redirect_hash)),
    (79, shim!(about::skb_cgroup_id)),
    (83, shim!(about::skb_ancestor_cgroup_id)),
    (84, shim!(socket::lookup_tcp)),
    (85, shim!(socket::lookup_udp)),
    (86, shim!(socket::release)),
    (95, shim!(socket::full)),
    (96, shim!(socket::tcp)),
    (97, shim!(about::ecn_set_ce)),
    (98, shim!(socket::listener)),
    (99, shim!(socket::lookup_tcp)),
    (122, shim!(about::netns_cookie)),
    (124, shim!(socket::assign)),
    (128, shim!(about::sk_cgroup_id)),
    (129, shim!(about::sk_ancestor_cgroup_id)),
    (135, shim!(sums::csum_level)),
    (151, shim!(about::zero)),
    (152, shim!(route::redirect_neigh)),
    (155, shim!(route::redirect_peer)),
    (163, shim!(route::check_mtu)),
    (188, shim!(frame::buff_len)),
    (189, shim!(frame::load_bytes)),
    (190, shim!(frame::store_bytes)),
    (192, shim!(about::set_tstamp)),
];

/// The kind of packet that a helper's first argument stands for.
fn kind(run: &Run<'_>, context: u64, function: &'static str) -> Result<PacketKind, FaultKind> {
    let kind = run.packet.place.get().kind;
    if kind != PacketKind::Nothing && context == run.context() {
        return Ok(kind);
    }
    Err(FaultKind::Argument {
        function,
        reason: "this is not the context of a packet",
    })
}

/// The same of a helper that is for one kind of packets only.
fn expect(
    run: &Run<'_>,
    context: u64,
    wanted: PacketKind,
    function: &'static str,
) -> Result<(), FaultKind> {
    if kind(run, context, function)? == wanted {
        return Ok(());
    }
    Err(FaultKind::Argument {
        function,
        reason: "programs of this type can't call it",
    })
}
