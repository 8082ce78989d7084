//! The attribute macros of `skep-ebpf`.
//!
//! They read tokens by themselves and depend on nothing: `skep build FILE.rs` compiles this crate
//! from the sources that it carries, with rustc alone, and a parser of the whole language would
//! take longer than everything else together.

mod external;
mod generated;
mod hook;
mod kernel;
mod map;
mod named;
mod place;
mod plain;
mod quote;
mod setting;
mod shared;
mod show;

use proc_macro::TokenStream;

/// A map: see `skep_ebpf::map`.
#[proc_macro_attribute]
pub fn map(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(map::expand(attribute, item))
}

/// A variable that is set before programs are loaded: see `skep_ebpf::Setting`.
#[proc_macro_attribute]
pub fn setting(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(setting::expand(attribute, item))
}

/// A variable of programs and user space: see `skep_ebpf::global`.
#[proc_macro_attribute]
pub fn global(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(setting::global(attribute, item))
}

/// A type of both sides: see `skep_ebpf::shared`.
#[proc_macro_attribute]
pub fn shared(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(shared::expand(attribute, item))
}

/// A type of the kernel, declared by the fields that are used: see `skep_ebpf::co_re`.
#[proc_macro_attribute]
pub fn kernel(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(kernel::expand(attribute, item))
}

/// Functions of the kernel: see `skep_ebpf::kfunc`.
#[proc_macro_attribute]
pub fn kfunc(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(external::functions(attribute, item))
}

/// Whether the kernel has a function: see `skep_ebpf::kfunc_exists`.
#[proc_macro]
pub fn kfunc_exists(input: TokenStream) -> TokenStream {
    shown(external::exists(input))
}

/// A variable of the kernel: see `skep_ebpf::ksym`.
#[proc_macro_attribute]
pub fn ksym(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(external::symbol(attribute, item))
}

/// A value of the kernel's configuration: see `skep_ebpf::kconfig`.
#[proc_macro_attribute]
pub fn kconfig(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(external::configuration(attribute, item))
}

/// Loads a field: see `skep_ebpf::core_load`.
#[proc_macro]
pub fn core_load(input: TokenStream) -> TokenStream {
    shown(place::call(input, false, "follow", "load"))
}

/// Reads a field: see `skep_ebpf::core_read`.
#[proc_macro]
pub fn core_read(input: TokenStream) -> TokenStream {
    shown(place::read(input, "KernelMemory", "read"))
}

/// Reads a field of a process: see `skep_ebpf::core_read_user`.
#[proc_macro]
pub fn core_read_user(input: TokenStream) -> TokenStream {
    shown(place::read(input, "UserMemory", "read"))
}

/// Reads a field to a place: see `skep_ebpf::core_read_into`.
#[proc_macro]
pub fn core_read_into(input: TokenStream) -> TokenStream {
    shown(place::read(input, "KernelMemory", "read_into"))
}

/// Reads a field of a process to a place: see `skep_ebpf::core_read_user_into`.
#[proc_macro]
pub fn core_read_user_into(input: TokenStream) -> TokenStream {
    shown(place::read(input, "UserMemory", "read_into"))
}

/// Reads text: see `skep_ebpf::core_read_str`.
#[proc_macro]
pub fn core_read_str(input: TokenStream) -> TokenStream {
    shown(place::read(input, "KernelMemory", "read_text"))
}

/// Reads text of a process: see `skep_ebpf::core_read_user_str`.
#[proc_macro]
pub fn core_read_user_str(input: TokenStream) -> TokenStream {
    shown(place::read(input, "UserMemory", "read_text"))
}

/// The address of a field: see `skep_ebpf::core_address`.
#[proc_macro]
pub fn core_address(input: TokenStream) -> TokenStream {
    shown(place::call(input, false, "follow", "address"))
}

/// The offset of a field: see `skep_ebpf::core_offset`.
#[proc_macro]
pub fn core_offset(input: TokenStream) -> TokenStream {
    shown(place::call(input, true, "walk", "offset"))
}

/// The size of a field: see `skep_ebpf::core_size`.
#[proc_macro]
pub fn core_size(input: TokenStream) -> TokenStream {
    shown(place::call(input, true, "walk", "size"))
}

/// Whether a field is signed: see `skep_ebpf::core_signed`.
#[proc_macro]
pub fn core_signed(input: TokenStream) -> TokenStream {
    shown(place::call(input, true, "walk", "signed"))
}

/// Whether a field exists: see `skep_ebpf::core_exists`.
#[proc_macro]
pub fn core_exists(input: TokenStream) -> TokenStream {
    shown(place::call(input, true, "probe", "exists"))
}

/// An enumerator's value: see `skep_ebpf::core_enum`.
#[proc_macro]
pub fn core_enum(input: TokenStream) -> TokenStream {
    shown(named::enumerator(input, "enumerator"))
}

/// Whether an enumerator exists: see `skep_ebpf::core_enum_exists`.
#[proc_macro]
pub fn core_enum_exists(input: TokenStream) -> TokenStream {
    shown(named::enumerator(input, "enumerator_exists"))
}

/// Whether a type exists: see `skep_ebpf::core_type_exists`.
#[proc_macro]
pub fn core_type_exists(input: TokenStream) -> TokenStream {
    shown(named::of_type(input, "type_exists"))
}

/// The size of a type: see `skep_ebpf::core_type_size`.
#[proc_macro]
pub fn core_type_size(input: TokenStream) -> TokenStream {
    shown(named::of_type(input, "type_size"))
}

/// Whether a type is as declared: see `skep_ebpf::core_type_matches`.
#[proc_macro]
pub fn core_type_matches(input: TokenStream) -> TokenStream {
    shown(named::of_type(input, "type_matches"))
}

/// A type's id in the kernel: see `skep_ebpf::core_type_id`.
#[proc_macro]
pub fn core_type_id(input: TokenStream) -> TokenStream {
    shown(named::of_type(input, "type_id"))
}

/// A type's id in the object: see `skep_ebpf::core_type_id_local`.
#[proc_macro]
pub fn core_type_id_local(input: TokenStream) -> TokenStream {
    shown(named::local(input))
}

/// What a macro makes, or the error that it shows.
fn shown(result: Result<TokenStream, quote::Error>) -> TokenStream {
    result.unwrap_or_else(quote::Error::tokens)
}

/// Attributes of hooks, which `skep_ebpf::hook` documents.
macro_rules! hooks {
    ($($name:ident)*) => {$(
        #[expect(missing_docs, reason = "`skep_ebpf::hook` documents it")]
        #[proc_macro_attribute]
        pub fn $name(attribute: TokenStream, item: TokenStream) -> TokenStream {
            hook::expand(stringify!($name), attribute, item)
        }
    )*};
}

hooks! {
    kprobe kretprobe ksyscall kretsyscall uprobe uretprobe usdt
    tracepoint raw_tracepoint tp_btf fentry fexit fmod_ret fsession freplace lsm lsm_cgroup
    iter perf_event syscall struct_ops
    socket_filter sk_reuseport tc tcx action netkit xdp lwt_in lwt_out lwt_xmit lwt_seg6local
    sock_ops sk_skb sk_skb_parser sk_msg lirc_mode2 flow_dissector sk_lookup netfilter
    cgroup_skb cgroup_sock cgroup_sock_addr cgroup_sysctl cgroup_sockopt cgroup_device
}

/// A structure that is nothing but the bytes of its fields: what may be a key, a value or a record.
/// `skep_ebpf::Plain` says more.
#[proc_macro_derive(Plain, attributes(show))]
pub fn plain(item: TokenStream) -> TokenStream {
    plain::expand(item)
}
