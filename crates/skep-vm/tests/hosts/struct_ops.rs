//! Structs of functions: a congestion control, which the machine has under the kernel's name.

use skep_abi::{AttachType, MapCreateFlags, MapType, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, Kind, KindTag};
use skep_host::{
    BtfFd, BtfLoad, Errno, Host, HostKind, LinkCreate, LinkOptions, LinkSource, LinkTarget,
    LogLevel, MapBtf, MapCreate, MapFd, ProgramFd, ProgramLoad,
};
use skep_testing::{Outcome, Stop, Test, ensure, host, needs_kernel, needs_kernel_of};
use skep_vm::StructOpsType;

use crate::support::{Record, agree, code, is, load_on, machine, name};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("struct_ops::maps_answer_alike", || agree(maps)),
        Test::new("struct_ops::links_answer_alike", || agree(links)),
        Test::new("struct_ops::programs_are_associated", associated),
    ]
}

/// A program may belong to one struct, and members belong to theirs anyway.
fn associated() -> Outcome {
    let host = host();
    if host.info().kind == HostKind::Kernel {
        needs_kernel(7, 0)?;
    }
    let control = Control::new(host)?;
    let (one, other) = (control.map(|_, _| {})?, control.map(|_, _| {})?);
    let array = host.map_create(&MapCreate::new(MapType::Array, &name("array"), 4, 4, 1))?;
    let program = load_on(host, ProgramType::Syscall, "r0 = 0\n exit", |request| {
        request.flags = ProgLoadFlags::SLEEPABLE;
    })?;
    let (index, _) = control.member("ssthresh")?;
    let member = control.program(index, control.data_type)?;
    for (what, program, map, errno) in [
        ("no struct", &program, &array, Some(Errno::EINVAL)),
        ("a member", &member, &one, Some(Errno::EINVAL)),
        ("the first", &program, &one, None),
        ("the same", &program, &one, None),
        ("another", &program, &other, Some(Errno::EBUSY)),
    ] {
        let done = host.prog_assoc_struct_ops(program, map);
        let right = match errno {
            Some(errno) => is(&done, errno),
            None => done.is_ok(),
        };
        ensure(right, || format!("{what}: {done:?}"))?;
    }
    Ok(())
}

const STRUCT: &str = "tcp_congestion_ops";

/// The struct as a host has it.
struct Control<'h> {
    host: &'h dyn Host,
    types: Btf,
    own: BtfFd,
    value_type: u32,
    data_type: u32,
    size: u32,
}

impl<'h> Control<'h> {
    fn new(host: &'h dyn Host) -> Outcome<Self> {
        match host.info().kind {
            HostKind::Kernel => needs_kernel_of(host, 6, 4)?,
            HostKind::Vm => {
                let definition = StructOpsType::new(STRUCT)
                    .function("ssthresh", 1)
                    .function("cong_avoid", 3)
                    .function("undo_cwnd", 1)
                    .integer("key", 4)
                    .integer("flags", 4)
                    .text("name", 16);
                let defined = machine().define_struct_ops(&definition);
                defined.map_err(|errno| Stop::fail(format!("{errno:?}")))?;
            }
        }
        let bytes = host.btf(None)?;
        let types = Btf::parse((*bytes).as_ref().to_vec())?;
        let find = |name: &str| {
            let found = types.find(name, KindTag::Struct);
            found.ok_or_else(|| Stop::lacks("BPF_JIT and struct_ops"))
        };
        let (value, data) = (find("bpf_struct_ops_tcp_congestion_ops")?, find(STRUCT)?);
        let mut own = skep_btf::Builder::new();
        own.int("int", 4, skep_btf::IntEncoding::SIGNED);
        let own = host.btf_load(&BtfLoad {
            object: "types",
            bytes: &own.build()?,
            log_level: LogLevel::OnFailure,
            token: None,
        })?;
        let size = types.size_of(value)? as u32;
        let (value_type, data_type) = (value.0, data.0);
        Ok(Self {
            host,
            types,
            own,
            value_type,
            data_type,
            size,
        })
    }

    /// Which member of the struct it is, and where it is in a map's value.
    fn member(&self, name: &str) -> Outcome<(u32, usize)> {
        let of = |id: u32, wanted: &str| {
            let found = self.types.type_by_id(skep_btf::TypeId(id)).ok()?;
            let Kind::Struct(members) = found.kind() else {
                return None;
            };
            let mut all = (0_u32..).zip(members.members());
            let found = all.find(|(_, member)| member.name() == wanted)?;
            Some((found.0, found.1.bit_offset as usize / 8))
        };
        let (data, member) = (of(self.value_type, "data"), of(self.data_type, name));
        match (data, member) {
            (Some((_, data)), Some((index, at))) => Ok((index, data + at)),
            _ => Err(Stop::fail(format!("no member {name}"))),
        }
    }

    fn map(
        &self,
        change: impl FnOnce(&mut MapCreate<'_>, &mut MapBtf<'_>),
    ) -> Result<MapFd, skep_host::Error> {
        let name = name("control");
        let mut request = MapCreate::new(MapType::StructOps, &name, 4, self.size, 1);
        let mut btf = MapBtf {
            btf: &self.own,
            key_type: 0,
            value_type: 0,
            kernel_value_type: self.value_type,
            kernel_btf: None,
        };
        request.flags = MapCreateFlags::LINK;
        change(&mut request, &mut btf);
        request.btf = Some(btf);
        self.host.map_create(&request)
    }

    fn program(&self, member: u32, id: u32) -> Result<ProgramFd, skep_host::Error> {
        let code = code("r0 = 2\n exit").unwrap_or_default();
        let name = name("member");
        let mut request = ProgramLoad::new(ProgramType::StructOps, &name, &code);
        request.attach_btf_id = id;
        request.attach_member = Some(member);
        request.license = "GPL";
        self.host.prog_load(&request).map(|loaded| loaded.fd)
    }

    /// Programs for what must be there, and a value with them and a name.
    fn value(&self, of: &str) -> Outcome<(Vec<ProgramFd>, Vec<u8>)> {
        let mut value = vec![0; self.size as usize];
        let mut programs = Vec::new();
        for function in ["ssthresh", "cong_avoid", "undo_cwnd"] {
            let (index, at) = self.member(function)?;
            let program = self.program(index, self.data_type)?;
            value[at..at + 4].copy_from_slice(&program.raw().to_ne_bytes());
            programs.push(program);
        }
        let (_, at) = self.member("name")?;
        let text = format!("s{}{of}", std::process::id());
        value[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok((programs, value))
    }
}

const KEY: [u8; 4] = [0; 4];

fn maps(host: &dyn Host, record: &mut Record) -> Outcome {
    let control = Control::new(host)?;
    let (size, data) = (control.size, control.data_type);
    record.done("key", &control.map(|map, _| map.key_size = 8));
    record.done("value", &control.map(|map, _| map.value_size = size + 8));
    record.done("entries", &control.map(|map, _| map.max_entries = 2));
    record.done(
        "flags",
        &control.map(|map, _| map.flags = MapCreateFlags::NO_PREALLOC),
    );
    record.done("no type", &control.map(|_, btf| btf.kernel_value_type = 0));
    record.done(
        "the struct itself",
        &control.map(|_, btf| btf.kernel_value_type = data),
    );
    record.done("a type of keys", &control.map(|_, btf| btf.key_type = 1));
    record.done(
        "an array",
        &control.map(|map, _| {
            (map.map_type, map.flags) = (MapType::Array, MapCreateFlags::empty());
        }),
    );

    let (ssthresh, at) = control.member("ssthresh")?;
    record.done("program", &control.program(ssthresh, data));
    record.done("program of no struct", &control.program(0, 1));
    record.done(
        "program of the value",
        &control.program(0, control.value_type),
    );
    record.done(
        "program of data",
        &control.program(control.member("name")?.0, data),
    );
    record.done("program of no member", &control.program(999, data));

    let map = control.map(|_, _| {})?;
    let (programs, good) = control.value("m")?;
    let set = |value: &[u8], key: u32, flags| {
        host.map_update_elem(&map, &key.to_ne_bytes(), value, flags)
    };
    let with = |at: usize, bytes: &[u8]| {
        let mut value = good.clone();
        value[at..at + bytes.len()].copy_from_slice(bytes);
        value
    };
    let mut read = vec![1; size as usize];
    record.answer("new", &host.map_lookup_elem(&map, &KEY, &mut read, 0));
    record.fact("zero", read.iter().all(|byte| *byte == 0));
    record.answer("flags of update", &set(&good, 0, 1));
    record.answer("another key", &set(&good, 1, 0));
    record.answer("a state", &set(&with(4, &[1]), 0, 0));
    record.answer("a counter", &set(&with(0, &[1]), 0, 0));
    record.answer("a hole", &set(&with(9, &[1]), 0, 0));
    record.answer(
        "no descriptor",
        &set(&with(at, &9999_i32.to_ne_bytes()), 0, 0),
    );
    record.answer("a map", &set(&with(at, &map.raw().to_ne_bytes()), 0, 0));
    let other = programs[1].raw().to_ne_bytes();
    record.answer("another member's", &set(&with(at, &other), 0, 0));
    record.answer("nothing", &set(&with(at, &[0; 4]), 0, 0));
    record.answer("delete nothing", &host.map_delete_elem(&map, &KEY));
    record.answer("good", &set(&good, 0, 0));
    record.answer("twice", &set(&good, 0, 0));
    record.answer("lookup", &host.map_lookup_elem(&map, &KEY, &mut read, 0));
    record.fact("state", &read[..8]);
    let id = host.prog_info(&programs[0])?.id;
    record.fact("ids", read[at..at + 8] == u64::from(id).to_ne_bytes());
    record.answer(
        "lookup 1",
        &host.map_lookup_elem(&map, &[1, 0, 0, 0], &mut read, 0),
    );
    let mut next = [9; 4];
    record.answer("first key", &host.map_get_next_key(&map, None, &mut next));
    record.fact("is", next);
    record.answer(
        "next key",
        &host.map_get_next_key(&map, Some(&KEY), &mut next),
    );
    record.answer("delete", &host.map_delete_elem(&map, &KEY));
    record.answer("freeze", &host.map_freeze(&map));

    // Without links.
    let map = control.map(|map, _| map.flags = MapCreateFlags::empty())?;
    let (_programs, good) = control.value("n")?;
    let set = || host.map_update_elem(&map, &KEY, &good, 0);
    record.answer("delete nothing", &host.map_delete_elem(&map, &KEY));
    record.answer("register", &set());
    record.answer("again", &set());
    record.answer("lookup", &host.map_lookup_elem(&map, &KEY, &mut read, 0));
    record.fact("state", &read[..8]);
    record.answer("delete", &host.map_delete_elem(&map, &KEY));
    record.answer("delete again", &host.map_delete_elem(&map, &KEY));
    record.answer("after delete", &set());
    record.answer("lookup", &host.map_lookup_elem(&map, &KEY, &mut read, 0));
    record.fact("state", read[4]);
    Ok(())
}

fn links(host: &dyn Host, record: &mut Record) -> Outcome {
    let control = Control::new(host)?;
    let link = |map: &MapFd| {
        host.link_create(&LinkCreate {
            program: LinkSource::StructOps(map),
            target: LinkTarget::None,
            attach_type: AttachType::StructOps,
            flags: 0,
            options: LinkOptions::None,
        })
    };
    let (first, second) = (control.map(|_, _| {})?, control.map(|_, _| {})?);
    let (unlinked, empty) = (
        control.map(|map, _| map.flags = MapCreateFlags::empty())?,
        control.map(|_, _| {})?,
    );
    let (_programs, value) = control.value("l")?;
    record.done("not written", &link(&first));
    record.done("not for links", &link(&unlinked));
    for map in [&first, &second] {
        record.answer("write", &host.map_update_elem(map, &KEY, &value, 0));
    }
    let made = link(&first);
    record.done("made", &made);
    let made = made?;
    let id = host.map_info(&first)?.id;
    let details = |map| skep_host::LinkDetails::StructOps { map };
    record.fact("info", host.link_info(&made)?.details == details(id));
    let mut read = vec![0; control.size as usize];
    host.map_lookup_elem(&first, &KEY, &mut read, 0)?;
    record.fact("state", read[4]);
    let to = |map, expected: Option<&MapFd>| {
        let expected = expected.map(LinkSource::StructOps);
        host.link_update(&made, LinkSource::StructOps(map), expected)
    };
    record.answer("to an empty one", &to(&empty, None));
    record.answer("to an unlinked one", &to(&unlinked, None));
    record.answer("not expected", &to(&second, Some(&second)));
    record.answer("expected", &to(&second, Some(&first)));
    let id = host.map_info(&second)?.id;
    record.fact("info", host.link_info(&made)?.details == details(id));
    record.answer("detach", &host.link_detach(&made));
    record.fact("detached", host.link_info(&made)?.details == details(0));
    record.answer("detach again", &host.link_detach(&made));
    record.answer("update detached", &to(&first, None));
    record.done("made anew", &link(&first));
    Ok(())
}
