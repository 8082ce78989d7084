//! Probes of what loaders ask of a kernel: instructions, kinds of BTF, what maps and commands can
//! do beside the plain thing.

use skep_abi::{
    AttachType, Capability, Command, Helper, LoaderFeature, MapCreateFlags, MapType, ProgramType,
};
use skep_btf::{
    Builder, FunctionLinkage, IntEncoding, KindTag, NewType, SectionEntry, VariableLinkage,
};
use skep_host::{
    Errno, Error, Feature, Host, MapCreate, MapFd, Probe, ProgramLoad, ProgramStream, Result,
};

use super::{
    attach, call, is_broken_off, kernel_type,
    least::{self, EXIT, NAME, insn},
    map, not_known,
};
use crate::{LinuxHost, attr, cause, sys};

/// Whether a loader can use something here.
pub(super) fn probe(host: &LinuxHost, feature: LoaderFeature) -> Probe {
    use LoaderFeature as L;
    let this = Feature::Loader(feature);
    match feature {
        L::ObjectNames => array(host, MapCreateFlags::empty()).into(),
        L::IsaV2
        | L::IsaV3
        | L::IsaV4
        | L::FetchAtomics
        | L::AcquireRelease
        | L::MayGoto
        | L::FunctionCalls
        | L::BoundedLoops
        | L::LargePrograms => instructions(host, &this, &code(feature)),
        L::GlobalData => tolerant(host, &this, global_data(host)),
        L::FrozenMaps => {
            let frozen = array(host, MapCreateFlags::empty()).and_then(|map| host.map_freeze(&map));
            tolerant(host, &this, frozen)
        }
        L::MappedArrays => tolerant(host, &this, array(host, MapCreateFlags::MMAPABLE)),
        L::ProbeReads => match Helper::by_name("bpf_probe_read_kernel") {
            Some(helper) => call::helper(host, helper, ProgramType::Tracepoint),
            None => Probe::unknown("no helper to tell it by"),
        },
        L::MapBatches => tolerant(host, &this, batch(host)),
        L::RingBuffers => {
            let page = u32::try_from(host.page_size()).unwrap_or(u32::MAX);
            let request = MapCreate::new(MapType::Ringbuf, NAME, 0, 0, page);
            tolerant(host, &this, host.map_create(&request))
        }
        L::ExclusiveMaps => {
            let mut request = MapCreate::new(MapType::Array, NAME, 4, 4, 1);
            request.exclusive = Some(&[0; 32]);
            tolerant(host, &this, host.map_create(&request))
        }
        L::Btf
        | L::BtfFunctions
        | L::BtfDataSections
        | L::BtfGlobalFunctions
        | L::BtfFloats
        | L::BtfDeclTags
        | L::BtfTypeTags
        | L::BtfEnum64
        | L::BtfSectionNames
        | L::BtfTagAttributes => {
            let loaded = types(feature).and_then(|bytes| least::load_btf(host, &bytes));
            tolerant(host, &this, loaded)
        }
        L::FunctionAddresses => match kernel_type(host, "bpf_prog_put", KindTag::Function) {
            Ok(id) => {
                /// `BPF_PSEUDO_BTF_ID`
                const BTF_ID: u8 = 3;
                let address = insn(0x18, 1, BTF_ID, 0, id.cast_signed());
                let code = [address, [0; 8], insn(0xb7, 0, 0, 0, 0), EXIT].concat();
                instructions(host, &this, &code)
            }
            Err(probe) => probe,
        },
        L::AttachTypes => attach::attach_type(host, AttachType::CgroupInet4Connect),
        L::PerfCookies => attach::attach_type(host, AttachType::PerfEvent),
        L::RawTracepointCookies => match least::load(host, ProgramType::RawTracepoint, None) {
            Ok(loaded) => {
                let name = Some("sched_process_exit");
                tolerant(host, &this, host.raw_tracepoint_open(&loaded, name, 1))
            }
            Err(refused) => refused.probe(host, ProgramType::RawTracepoint),
        },
        L::MemoryCgroups => match Helper::by_name("bpf_ktime_get_coarse_ns") {
            // It came with the same release, and nothing else shows it.
            Some(helper) => match call::helper(host, helper, ProgramType::SocketFilter) {
                Probe::No { .. } => not_known(host, &this),
                other => other,
            },
            None => Probe::unknown("no helper to tell it by"),
        },
        L::Tokens => {
            let bpffs_fd = u32::MAX;
            let request = attr::TokenCreate { flags: 0, bpffs_fd };
            known_command(host, &this, Command::TokenCreate, request)
        }
        L::Streams => match least::load(host, ProgramType::SocketFilter, None) {
            Ok(loaded) => tolerant(
                host,
                &this,
                host.prog_stream_read(&loaded, ProgramStream::Output, &mut [0; 8]),
            ),
            Err(refused) => refused.probe(host, ProgramType::SocketFilter),
        },
        L::StructOpsAssociation => {
            let request = attr::AssocStructOps {
                map_fd: u32::MAX,
                prog_fd: u32::MAX,
                flags: 0,
            };
            known_command(host, &this, Command::ProgAssocStructOps, request)
        }
        L::CommonAttributes => match sys::knows_common_attributes() {
            Ok(true) => Probe::Yes,
            Ok(false) => not_known(host, &this),
            Err(errno) => Probe::unknown(format!("the kernel answered {errno}")),
        },
        _ => Probe::unknown("this version of Skep does not know how to try it"),
    }
}

/// The outcome of something that can only fail because the kernel does not know it.
fn tolerant<T>(host: &LinuxHost, feature: &Feature, outcome: Result<T>) -> Probe {
    match outcome {
        Ok(_) => Probe::Yes,
        Err(error) => match error.errno() {
            Some(Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP | Errno::E2BIG) => {
                not_known(host, feature)
            }
            _ => Probe::refused(&error),
        },
    }
}

fn known_command<A: zerocopy::IntoBytes + zerocopy::FromBytes>(
    host: &LinuxHost,
    feature: &Feature,
    command: Command,
    request: A,
) -> Probe {
    match attach::knows(command, request) {
        Ok(true) => Probe::Yes,
        Ok(false) => not_known(host, feature),
        Err(errno) => {
            let subject = crate::cause::Subject::None;
            let error = Error::command(command, feature.to_string(), errno);
            Probe::refused(&error.because(host.cause(command, errno, subject)))
        }
    }
}

/// A socket filter, which all processes that may use BPF may load.
fn instructions(host: &LinuxHost, feature: &Feature, code: &[u8]) -> Probe {
    let request = ProgramLoad::new(ProgramType::SocketFilter, NAME, code);
    let loaded = host.prog_load(&request);
    // Some of it is refused to processes without capabilities, in the verifier's words.
    let lacks = || cause::missing(host, [Capability::Bpf, Capability::Perfmon]);
    match loaded {
        Err(Error::Verifier { errno, .. })
            if !is_broken_off(errno)
                && let Some(cause) = lacks() =>
        {
            cause.into()
        }
        Err(Error::Verifier {
            cause: None, errno, ..
        }) if !is_broken_off(errno) => not_known(host, feature),
        outcome => tolerant(host, feature, outcome),
    }
}

/// A program that uses the instructions.
fn code(feature: LoaderFeature) -> Vec<u8> {
    use LoaderFeature as L;
    /// `r0 = 0`
    const ZERO: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
    let r0 = |number| insn(0xb7, 0, 0, 0, number);
    /// The stack.
    const FRAME: u8 = 10;
    let store = insn(0x7a, FRAME, 0, -8, 0);
    let middle: Vec<[u8; 8]> = match feature {
        // if r0 < 1 goto +0
        L::IsaV2 => vec![insn(0xa5, 0, 0, 0, 1)],
        // if w0 == 1 goto +0
        L::IsaV3 => vec![insn(0x16, 0, 0, 0, 1)],
        // r0 = (s8)r0
        L::IsaV4 => vec![insn(0xbf, 0, 0, 8, 0)],
        // r1 = 0; r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)
        L::FetchAtomics => vec![store, insn(0xb7, 1, 0, 0, 0), insn(0xdb, FRAME, 1, -8, 1)],
        // r1 = load_acquire((u64 *)(r10 - 8))
        L::AcquireRelease => vec![store, insn(0xdb, 1, FRAME, -8, 0x100)],
        // may_goto +1; r0 = 0
        L::MayGoto => vec![insn(0xe5, 0, 0, 1, 0), ZERO],
        // call +1; exit; r0 = 0
        L::FunctionCalls => vec![insn(0x85, 0, 1, 0, 1), EXIT, ZERO],
        // r0 = 8; r0 -= 1; if r0 != 0 goto -2
        L::BoundedLoops => vec![r0(8), insn(0x07, 0, 0, 0, -1), insn(0x55, 0, 0, -2, 0)],
        // One more than older kernels take.
        L::LargePrograms => vec![ZERO; 4096],
        _ => Vec::new(),
    };
    let ends = [ZERO, EXIT];
    let all = ends[..1].iter().chain(&middle).chain(&ends[1..]);
    all.flatten().copied().collect()
}

fn array(host: &LinuxHost, flags: MapCreateFlags) -> Result<MapFd> {
    let mut request = MapCreate::new(MapType::Array, NAME, 4, 4, 1);
    request.flags = flags;
    host.map_create(&request)
}

fn global_data(host: &LinuxHost) -> Result<()> {
    /// `BPF_PSEUDO_MAP_VALUE`
    const MAP_VALUE: u8 = 2;
    let map = array(host, MapCreateFlags::empty())?;
    let code = [
        insn(0x18, 1, MAP_VALUE, 0, map.raw()),
        [0; 8],
        insn(0xb7, 0, 0, 0, 0),
        EXIT,
    ];
    let code: Vec<u8> = code.into_iter().flatten().collect();
    let request = ProgramLoad::new(ProgramType::SocketFilter, NAME, &code);
    host.prog_load(&request).map(drop)
}

fn batch(host: &LinuxHost) -> Result<()> {
    let map = array(host, MapCreateFlags::empty())?;
    host.map_update_batch(&map, &[0; 4], &[0; 4], 1, 0)
        .map(drop)
}

/// BTF that has a kind of types.
fn types(feature: LoaderFeature) -> Result<Vec<u8>> {
    use LoaderFeature as L;
    if feature == L::Btf {
        return map::int_btf();
    }
    let mut builder = Builder::new();
    let int = builder.int("int", 4, IntEncoding::SIGNED);
    let function = |builder: &mut Builder, linkage| {
        let prototype = builder.prototype(int, &[("x", int)]);
        builder.function("f", prototype, linkage);
    };
    match feature {
        L::BtfFunctions => function(&mut builder, FunctionLinkage::Static),
        L::BtfGlobalFunctions => function(&mut builder, FunctionLinkage::Global),
        L::BtfDataSections | L::BtfSectionNames => {
            let type_id = builder.variable("x", int, VariableLinkage::Static);
            builder.add(NewType::DataSection {
                name: if feature == L::BtfSectionNames {
                    "?.data"
                } else {
                    ".data"
                },
                size: 4,
                entries: &[SectionEntry {
                    type_id,
                    offset: 0,
                    size: 4,
                }],
            });
        }
        L::BtfFloats => {
            builder.add(NewType::Float {
                name: "float",
                size: 4,
            });
        }
        L::BtfDeclTags => {
            let target = builder.variable("x", int, VariableLinkage::Static);
            builder.add(NewType::DeclTag {
                name: "tag",
                target,
                component: None,
                attribute: false,
            });
        }
        L::BtfTypeTags | L::BtfTagAttributes => {
            let target = builder.add(NewType::TypeTag {
                name: "tag",
                target: int,
                attribute: feature == L::BtfTagAttributes,
            });
            builder.pointer(target);
        }
        L::BtfEnum64 => {
            builder.add(NewType::Enum64 {
                name: "e",
                size: 8,
                signed: true,
                values: &[("a", 1)],
            });
        }
        _ => {}
    }
    least::built(&builder)
}
