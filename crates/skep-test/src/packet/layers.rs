//! What headers look like: one table a protocol, by which packets are built and compared.

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Number,
    Mac,
    Ip,
    /// Bits by name, the lowest first.
    Flags(&'static [&'static str]),
    /// The number of the next header, which has a name.
    Next,
    /// A checksum, which can be `valid`.
    Sum,
}

/// A field of a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Bits from the header's start, the most significant first.
    pub(super) at: usize,
    pub(super) bits: usize,
    pub(super) form: Form,
    /// What it is if nothing is said; what follows from the packet is not said here.
    pub(super) default: &'static [u8],
}

/// A protocol's header.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: &'static str,
    /// Bytes without options.
    pub(super) len: usize,
    pub(super) fields: &'static [Field],
}

const fn field(name: &'static str, at: usize, bits: usize, form: Form) -> Field {
    Field {
        name,
        at,
        bits,
        form,
        default: &[],
    }
}

const fn usual(mut field: Field, default: &'static [u8]) -> Field {
    field.default = default;
    field
}

use Form::{Flags, Ip, Mac, Next, Number, Sum};

/// The flags of TCP.
const TCP_FLAGS: &[&str] = &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

pub(super) static ETH: Layer = Layer {
    name: "eth",
    len: 14,
    fields: &[
        usual(field("dst", 0, 48, Mac), &[2, 0, 0, 0, 0, 2]),
        usual(field("src", 48, 48, Mac), &[2, 0, 0, 0, 0, 1]),
        field("type", 96, 16, Number),
    ],
};

pub(super) static VLAN: Layer = Layer {
    name: "vlan",
    len: 4,
    fields: &[
        field("priority", 0, 3, Number),
        field("dei", 3, 1, Number),
        usual(field("id", 4, 12, Number), &[1]),
        field("type", 16, 16, Number),
    ],
};

pub(super) static ARP: Layer = Layer {
    name: "arp",
    len: 28,
    fields: &[
        usual(field("hardware", 0, 16, Number), &[1]),
        usual(field("protocol", 16, 16, Number), &[8, 0]),
        usual(field("hardware_len", 32, 8, Number), &[6]),
        usual(field("protocol_len", 40, 8, Number), &[4]),
        usual(field("op", 48, 16, Number), &[1]),
        usual(field("sender_mac", 64, 48, Mac), &[2, 0, 0, 0, 0, 1]),
        usual(field("sender", 112, 32, Ip), &[10, 0, 0, 1]),
        field("target_mac", 144, 48, Mac),
        usual(field("target", 192, 32, Ip), &[10, 0, 0, 2]),
    ],
};

pub(super) static IP: Layer = Layer {
    name: "ip",
    len: 20,
    fields: &[
        usual(field("version", 0, 4, Number), &[4]),
        field("header_len", 4, 4, Number),
        field("tos", 8, 8, Number),
        field("length", 16, 16, Number),
        field("id", 32, 16, Number),
        field("df", 49, 1, Number),
        field("mf", 50, 1, Number),
        field("offset", 51, 13, Number),
        usual(field("ttl", 64, 8, Number), &[64]),
        field("protocol", 72, 8, Next),
        field("checksum", 80, 16, Sum),
        usual(field("src", 96, 32, Ip), &[10, 0, 0, 1]),
        usual(field("dst", 128, 32, Ip), &[10, 0, 0, 2]),
    ],
};

pub(super) static IP6: Layer = Layer {
    name: "ip6",
    len: 40,
    fields: &[
        usual(field("version", 0, 4, Number), &[6]),
        field("class", 4, 8, Number),
        field("flow", 12, 20, Number),
        field("length", 32, 16, Number),
        field("next", 48, 8, Next),
        usual(field("hops", 56, 8, Number), &[64]),
        usual(
            field("src", 64, 128, Ip),
            &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ),
        usual(
            field("dst", 192, 128, Ip),
            &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        ),
    ],
};

pub(super) static TCP: Layer = Layer {
    name: "tcp",
    len: 20,
    fields: &[
        usual(field("sport", 0, 16, Number), &[0x9c, 0x40]),
        usual(field("dport", 16, 16, Number), &[80]),
        field("seq", 32, 32, Number),
        field("ack", 64, 32, Number),
        field("header_len", 96, 4, Number),
        usual(field("flags", 104, 8, Flags(TCP_FLAGS)), &[2]),
        usual(field("window", 112, 16, Number), &[0xff, 0xff]),
        field("checksum", 128, 16, Sum),
        field("urgent", 144, 16, Number),
    ],
};

pub(super) static UDP: Layer = Layer {
    name: "udp",
    len: 8,
    fields: &[
        usual(field("sport", 0, 16, Number), &[0x9c, 0x40]),
        usual(field("dport", 16, 16, Number), &[53]),
        field("length", 32, 16, Number),
        field("checksum", 48, 16, Sum),
    ],
};

pub(super) static ICMP: Layer = Layer {
    name: "icmp",
    len: 8,
    fields: &[
        usual(field("type", 0, 8, Number), &[8]),
        field("code", 8, 8, Number),
        field("checksum", 16, 16, Sum),
        usual(field("id", 32, 16, Number), &[1]),
        usual(field("seq", 48, 16, Number), &[1]),
    ],
};

pub(super) static ICMP6: Layer = Layer {
    name: "icmp6",
    len: 8,
    fields: &[
        usual(field("type", 0, 8, Number), &[128]),
        field("code", 8, 8, Number),
        field("checksum", 16, 16, Sum),
        usual(field("id", 32, 16, Number), &[1]),
        usual(field("seq", 48, 16, Number), &[1]),
    ],
};

/// All headers, from the outermost on.
pub(super) static LAYERS: [&Layer; 9] = [&ETH, &VLAN, &ARP, &IP, &IP6, &TCP, &UDP, &ICMP, &ICMP6];

/// `ETH_P_IP` and others.
pub(super) const ETHER: [(u16, &str); 4] = [
    (0x0800, "ip"),
    (0x86dd, "ip6"),
    (0x0806, "arp"),
    (0x8100, "vlan"),
];

/// `IPPROTO_TCP` and others.
pub(super) const PROTOCOLS: [(u8, &str); 4] = [(6, "tcp"), (17, "udp"), (1, "icmp"), (58, "icmp6")];

impl Layer {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields, and of options where the header can have some.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        if self.has_options() {
            names.push("options");
        }
        names
    }

    pub(super) fn has_options(&self) -> bool {
        matches!(self.name, "ip" | "tcp")
    }
}

impl Field {
    /// Its bits, right-aligned in as many bytes as they need.
    pub(super) fn read(&self, header: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; self.bits.div_ceil(8)];
        for bit in 0..self.bits {
            let from = self.at.checked_add(bit)?;
            let set = header.get(from / 8)? >> (7 - from % 8) & 1;
            let to = out.len() * 8 - self.bits + bit;
            *out.get_mut(to / 8)? |= set << (7 - to % 8);
        }
        Some(out)
    }

    /// Sets its bits by as many bytes as they need or fewer, right-aligned.
    pub(super) fn write(&self, header: &mut [u8], value: &[u8]) -> Option<()> {
        let given = value.len() * 8;
        for bit in 0..self.bits {
            let to = self.at.checked_add(bit)?;
            // From the end.
            let back = self.bits - bit;
            let set = match given.checked_sub(back) {
                Some(from) => value.get(from / 8)? >> (7 - from % 8) & 1,
                None => 0,
            };
            let byte = header.get_mut(to / 8)?;
            *byte &= !(1 << (7 - to % 8));
            *byte |= set << (7 - to % 8);
        }
        Some(())
    }

    /// Its bits as a number.
    pub(super) fn number(&self, header: &[u8]) -> Option<u128> {
        let bytes = self.read(header)?;
        let number = bytes
            .iter()
            .fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        Some(number)
    }
}
