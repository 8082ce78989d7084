//! The numbers of helpers that the verifier treats in ways of their own.

macro_rules! ids {
    ($($name:ident = $id:literal;)*) => {
        $(pub(crate) const $name: u32 = $id;)*

        /// By the names in this list, for the test that holds it against `skep-abi`.
        #[cfg(test)]
        const ALL: &[(&str, u32)] = &[$((stringify!($name), $id),)*];
    };
}

ids! {
    MAP_LOOKUP_ELEM = 1;
    MAP_UPDATE_ELEM = 2;
    MAP_DELETE_ELEM = 3;
    GET_SMP_PROCESSOR_ID = 8;
    TAIL_CALL = 12;
    PROBE_READ_STR = 45;
    GET_STACK = 67;
    GET_LOCAL_STORAGE = 81;
    SK_LOOKUP_TCP = 84;
    SK_LOOKUP_UDP = 85;
    MAP_PUSH_ELEM = 87;
    MAP_POP_ELEM = 88;
    SPIN_LOCK = 93;
    SPIN_UNLOCK = 94;
    SK_FULLSOCK = 95;
    TCP_SOCK = 96;
    SKC_LOOKUP_TCP = 99;
    PROBE_READ_USER_STR = 114;
    PROBE_READ_KERNEL_STR = 115;
    RINGBUF_RESERVE = 131;
    SKC_TO_TCP6_SOCK = 136;
    SKC_TO_TCP_SOCK = 137;
    SKC_TO_TCP_TIMEWAIT_SOCK = 138;
    SKC_TO_TCP_REQUEST_SOCK = 139;
    SKC_TO_UDP6_SOCK = 140;
    GET_TASK_STACK = 141;
    FOR_EACH_MAP_ELEM = 164;
    SNPRINTF = 165;
    TIMER_SET_CALLBACK = 170;
    FIND_VMA = 180;
    LOOP = 181;
    SET_RETVAL = 187;
    KPTR_XCHG = 194;
    SKC_TO_MPTCP_SOCK = 196;
    DYNPTR_FROM_MEM = 197;
    DYNPTR_WRITE = 202;
    USER_RINGBUF_DRAIN = 209;
}

#[cfg(test)]
mod tests {
    use skep_abi::Helper;

    #[test]
    fn numbers_are_those_of_the_names() {
        for (name, id) in super::ALL {
            let helper = Helper::by_name(&name.to_lowercase());
            assert_eq!(helper.map(|helper| helper.id), Some(*id), "{name}");
        }
    }
}
