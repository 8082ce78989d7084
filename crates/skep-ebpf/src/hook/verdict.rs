//! What programs decide, by hook. A number that has no name here is no error: kernels may learn
//! more than there is today.

/// A decision of a hook.
pub trait Verdict: Copy {
    /// What stands for an error.
    const ON_ERROR: Self;

    /// The kernel's number.
    fn number(self) -> i32;
}

/// Reads `/// doc  Name on_error { /// doc  NAME = number; … }`.
macro_rules! verdicts {
    ($(
        $(#[doc = $doc:literal])*
        $Verdict:ident else $error:ident {
            $($(#[doc = $about:literal])* $NAME:ident = $number:literal $(as $alias:literal)?;)*
        }
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $Verdict(i32);

        impl $Verdict {
            $(
                $(#[doc = $about])*
                $(#[doc(alias = $alias)])?
                pub const $NAME: Self = Self($number);
            )*

            /// The verdict with a number of the kernel's, as helpers give it.
            #[inline(always)]
            #[must_use]
            pub const fn new(number: i32) -> Self {
                Self(number)
            }
        }

        impl Verdict for $Verdict {
            const ON_ERROR: Self = Self::$error;

            #[inline(always)]
            fn number(self) -> i32 {
                self.0
            }
        }
    )*};
}

verdicts! {
    /// What becomes of a packet at XDP.
    XdpAction else ABORTED {
        /// Dropped as an error, which the tracepoint `xdp:xdp_exception` tells.
        ABORTED = 0 as "XDP_ABORTED";
        /// Dropped.
        DROP = 1 as "XDP_DROP";
        /// On to the network stack.
        PASS = 2 as "XDP_PASS";
        /// Back out of the device that it came from.
        TX = 3 as "XDP_TX";
        /// Where a redirecting helper said.
        REDIRECT = 4 as "XDP_REDIRECT";
    }

    /// What becomes of a packet at the traffic-control hook, by a filter, tcx or netkit.
    TcAction else SHOT {
        /// What the next program or the filter's default says.
        UNSPEC = -1 as "TC_ACT_UNSPEC";
        /// The same, by tcx's name.
        NEXT = -1 as "TCX_NEXT";
        /// On its way, without further programs.
        OK = 0 as "TC_ACT_OK";
        /// Classified anew.
        RECLASSIFY = 1 as "TC_ACT_RECLASSIFY";
        /// Dropped.
        SHOT = 2 as "TC_ACT_SHOT";
        /// On to the next action.
        PIPE = 3 as "TC_ACT_PIPE";
        /// Taken.
        STOLEN = 4 as "TC_ACT_STOLEN";
        /// Queued.
        QUEUED = 5 as "TC_ACT_QUEUED";
        /// Once more.
        REPEAT = 6 as "TC_ACT_REPEAT";
        /// Where a redirecting helper said.
        REDIRECT = 7 as "TC_ACT_REDIRECT";
        /// To the host, where a device forwards by itself.
        TRAP = 8 as "TC_ACT_TRAP";
    }

    /// Whether a packet, message or connection goes on, at the hooks of sockets.
    SkAction else DROP {
        /// Dropped, or refused.
        DROP = 0 as "SK_DROP";
        /// On, or where a redirecting helper said.
        PASS = 1 as "SK_PASS";
    }

    /// Whether what a cgroup's process does is allowed. What is not fails with `EPERM`.
    Access else DENY {
        /// Not allowed.
        DENY = 0;
        /// Allowed.
        ALLOW = 1;
    }

    /// How much of a packet a socket filter lets through.
    Keep else NOTHING {
        /// Nothing: the socket does not see the packet.
        NOTHING = 0;
        /// All of it.
        ALL = -1;
    }

    /// What becomes of a packet at a lightweight tunnel.
    LwtAction else DROP {
        /// On its way.
        OK = 0 as "BPF_OK";
        /// Dropped.
        DROP = 2 as "BPF_DROP";
        /// Where a redirecting helper said. Of `lwt_xmit` only.
        REDIRECT = 7 as "BPF_REDIRECT";
        /// Routed anew by its changed header. Of `lwt_in` and `lwt_xmit`. Since 5.1.
        REROUTE = 128 as "BPF_LWT_REROUTE";
    }

    /// What a netfilter hook says.
    NetfilterVerdict else DROP {
        /// Dropped.
        DROP = 0 as "NF_DROP";
        /// On to the next hook.
        ACCEPT = 1 as "NF_ACCEPT";
    }

    /// What a flow dissector found out.
    Dissected else DROP {
        /// The flow keys are filled.
        OK = 0 as "BPF_OK";
        /// The packet is no good.
        DROP = 2 as "BPF_DROP";
        /// The kernel's own dissector is asked. Since 6.1.
        CONTINUE = 129 as "BPF_FLOW_DISSECTOR_CONTINUE";
    }

    /// Whether a program of socket events took the one it was called for.
    Handled else NO {
        /// Not taken: the kernel goes by its own rules.
        NO = 0;
        /// Taken.
        YES = 1;
    }

    /// What a stream parser found: how long the message at the front is.
    Parsed else ERROR {
        /// No message: the stream is broken.
        ERROR = -22;
        /// Too little to say.
        MORE = 0;
    }
}

impl Keep {
    /// The first bytes of it.
    #[inline(always)]
    #[must_use]
    pub const fn bytes(count: u32) -> Self {
        Self(count.cast_signed())
    }
}

impl Parsed {
    /// A message of so many bytes, its header counted.
    #[inline(always)]
    #[must_use]
    pub const fn message(bytes: u32) -> Self {
        Self(bytes.cast_signed())
    }
}

impl From<bool> for Access {
    #[inline(always)]
    fn from(allowed: bool) -> Self {
        Self(allowed as i32)
    }
}
