//! Where the fields of packets' contexts are: the uapi structs, by offset.

/// `struct xdp_md`
pub(crate) struct XdpField;

impl XdpField {
    pub(crate) const DATA: usize = 0;
    pub(crate) const DATA_END: usize = 4;
    pub(crate) const DATA_META: usize = 8;
    pub(crate) const INGRESS_IFINDEX: usize = 12;
    pub(crate) const RX_QUEUE_INDEX: usize = 16;
    pub(crate) const EGRESS_IFINDEX: usize = 20;
    pub(crate) const LEN: usize = 24;
}

/// `struct __sk_buff`
pub(crate) struct SkbField;

impl SkbField {
    pub(crate) const PACKET_LEN: usize = 0;
    pub(crate) const PKT_TYPE: usize = 4;
    pub(crate) const MARK: usize = 8;
    pub(crate) const QUEUE_MAPPING: usize = 12;
    pub(crate) const PROTOCOL: usize = 16;
    pub(crate) const VLAN_PRESENT: usize = 20;
    pub(crate) const VLAN_TCI: usize = 24;
    pub(crate) const VLAN_PROTO: usize = 28;
    pub(crate) const PRIORITY: usize = 32;
    pub(crate) const INGRESS_IFINDEX: usize = 36;
    pub(crate) const IFINDEX: usize = 40;
    pub(crate) const TC_INDEX: usize = 44;
    pub(crate) const CB: usize = 48;
    pub(crate) const CB_LEN: usize = 20;
    pub(crate) const HASH: usize = 68;
    pub(crate) const TC_CLASSID: usize = 72;
    pub(crate) const DATA: usize = 76;
    pub(crate) const DATA_END: usize = 80;
    pub(crate) const FAMILY: usize = 88;
    pub(crate) const REMOTE_IP4: usize = 92;
    pub(crate) const LOCAL_IP4: usize = 96;
    pub(crate) const REMOTE_IP6: usize = 100;
    pub(crate) const LOCAL_IP6: usize = 116;
    pub(crate) const DATA_META: usize = 140;
    pub(crate) const FLOW_KEYS: usize = 144;
    pub(crate) const TSTAMP: usize = 152;
    pub(crate) const WIRE_LEN: usize = 160;
    pub(crate) const GSO_SEGS: usize = 164;
    pub(crate) const SK: usize = 168;
    pub(crate) const GSO_SIZE: usize = 176;
    pub(crate) const TSTAMP_TYPE: usize = 180;
    pub(crate) const HWTSTAMP: usize = 184;
    pub(crate) const LEN: usize = 192;

    /// What programs of one type or another may write: offset and length.
    pub(crate) const WRITABLE: [(usize, usize); 7] = [
        (Self::MARK, 4),
        (Self::QUEUE_MAPPING, 4),
        (Self::PRIORITY, 4),
        (Self::TC_INDEX, 4),
        (Self::CB, Self::CB_LEN),
        (Self::TC_CLASSID, 4),
        (Self::TSTAMP, 8),
    ];
}
