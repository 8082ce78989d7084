//! Return codes by program type: what a number that a program returned is called.

use crate::{
    KernelEnum, LwtReturn, NetfilterVerdict, NetkitAction, ProgramType, SkAction, TcAction,
    TcxAction, XdpAction,
};

/// A return code with the kernel's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReturnCode {
    /// The number, as the 32 bits that the kernel looks at.
    pub value: i32,
    /// The kernel's name.
    pub name: &'static str,
}

impl ProgramType {
    /// The named return codes of programs of this type, in the kernel's order. Empty where the
    /// number has no names (tracing programs, socket filters, most cgroup programs).
    ///
    /// For [`SchedCls`](Self::SchedCls) these are the names of traffic control, which tcx and
    /// netkit share where the numbers are the same.
    pub fn return_codes(self) -> impl Iterator<Item = ReturnCode> {
        let codes: Vec<ReturnCode> = match self {
            Self::Xdp => unsigned::<XdpAction>(),
            Self::SchedCls | Self::SchedAct => signed::<TcAction>(),
            Self::SkSkb | Self::SkMsg | Self::SkReuseport | Self::SkLookup => {
                unsigned::<SkAction>()
            }
            Self::LwtIn | Self::LwtOut | Self::LwtXmit | Self::LwtSeg6local => lwt(true),
            Self::FlowDissector => lwt(false),
            Self::Netfilter => unsigned::<NetfilterVerdict>(),
            _ => Vec::new(),
        };
        codes.into_iter()
    }

    /// The kernel's name of a number that a program returned.
    ///
    /// ```
    /// use skep_abi::ProgramType;
    ///
    /// assert_eq!(ProgramType::Xdp.return_code_name(2), Some("XDP_PASS"));
    /// assert_eq!(ProgramType::SchedCls.return_code_name(-1), Some("TC_ACT_UNSPEC"));
    /// ```
    #[must_use]
    pub fn return_code_name(self, value: i32) -> Option<&'static str> {
        self.return_codes()
            .find(|code| code.value == value)
            .map(|code| code.name)
    }

    /// The number of a return code of this program type: `XDP_PASS`. For
    /// [`SchedCls`](Self::SchedCls) also the names of tcx and netkit.
    #[must_use]
    pub fn return_code(self, name: &str) -> Option<i32> {
        let own = self
            .return_codes()
            .find(|code| code.name == name)
            .map(|code| code.value);
        match self {
            Self::SchedCls => own
                .or_else(|| exact::<TcxAction>(name))
                .or_else(|| exact::<NetkitAction>(name)),
            _ => own,
        }
    }
}

fn unsigned<T: KernelEnum<Raw = u32>>() -> Vec<ReturnCode> {
    // The kernel's codes are small, so no number is lost.
    T::ALL
        .iter()
        .map(|code| ReturnCode {
            value: code.raw().cast_signed(),
            name: code.name(),
        })
        .collect()
}

fn signed<T: KernelEnum<Raw = i32>>() -> Vec<ReturnCode> {
    T::ALL
        .iter()
        .map(|code| ReturnCode {
            value: code.raw(),
            name: code.name(),
        })
        .collect()
}

/// One C enumeration serves tunnels and the flow dissector.
fn lwt(tunnel: bool) -> Vec<ReturnCode> {
    let mut codes = unsigned::<LwtReturn>();
    codes.retain(|code| match code.name {
        "BPF_LWT_REROUTE" | "BPF_REDIRECT" => tunnel,
        "BPF_FLOW_DISSECTOR_CONTINUE" => !tunnel,
        _ => true,
    });
    codes
}

fn exact<T: KernelEnum<Raw = i32>>(name: &str) -> Option<i32> {
    T::ALL
        .iter()
        .find(|code| code.name() == name)
        .map(|code| code.raw())
}
