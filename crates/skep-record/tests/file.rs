//! Recordings as files: what was written is read again, and what was cut off as far as it goes.

use skep_abi::{MapType, ProgramType};
use skep_isa::{Endian, assemble};
use skep_object::{
    Contents as MapContents, Image, ImageMap, ImageProgram, ProgramIndex, SectionName,
};
use skep_record::{
    Contents, Cut, Header, Kfunc, Lost, MapState, Name, ProgramSites, Recording, Site, Sites,
    Writer,
};

/// An area as a program sends it: head, what is the recording's own, items.
fn area(program: u32, order: u64, cut: u32) -> Vec<u8> {
    let mut area = vec![0_u8; 112];
    area[4..8].copy_from_slice(&program.to_ne_bytes());
    area[8..16].copy_from_slice(&(1000 + order).to_ne_bytes());
    area[16..24].copy_from_slice(&5_u64.to_ne_bytes());
    area[24..28].copy_from_slice(&3_u32.to_ne_bytes());
    area[28..32].copy_from_slice(&cut.to_ne_bytes());
    area[32..40].copy_from_slice(&(7_u64 << 32 | 8).to_ne_bytes());
    area[40..44].copy_from_slice(b"cat\0");
    area[56..64].copy_from_slice(&order.to_ne_bytes());
    let mut item = |site: u32, value: u64, bytes: &[u8]| {
        area.extend(site.to_ne_bytes());
        area.extend((bytes.len() as u32).to_ne_bytes());
        area.extend(value.to_ne_bytes());
        area.extend(bytes);
        area.resize(area.len().next_multiple_of(16), 0);
    };
    item(0x7fff_ffff, 0, b"context.");
    item(2, 9, b"");
    item(4, 1, b"what was written there");
    area
}

fn image() -> Image {
    let mut image = Image::new("x", Endian::NATIVE);
    let mut map = ImageMap::new("x.rodata", MapType::Array, 4, 8, 1);
    map.contents = MapContents::Data(vec![1; 8]);
    map.frozen = true;
    image.maps.push(map);
    let section = SectionName::parse("tracepoint/syscalls/sys_enter_openat").unwrap();
    let mut program = ImageProgram::new(ProgramIndex(0), "x", section, ProgramType::Tracepoint);
    program.instructions = assemble("r0 = 0\nexit").unwrap();
    program.license = "GPL".into();
    image.programs.push(program);
    image.settings.insert("CONFIG_HZ".into(), "250".into());
    image
}

fn sites() -> Sites {
    let site = Site {
        insn: 2,
        what: "bpf_probe_read_user_str".into(),
        place: "x.bpf.c:7".into(),
    };
    let mut sites = Sites::default();
    sites.programs.push(ProgramSites {
        name: "x".into(),
        section: "tracepoint/syscalls/sys_enter_openat".into(),
        words: Some(3),
        reads_packet: true,
        sites: vec![site],
    });
    let kfunc = Kfunc {
        name: "bpf_task_acquire".into(),
        parameters: vec!["p".into()],
        void: false,
    };
    sites.kfuncs.insert(77, kfunc);
    sites
}

fn header() -> Header {
    Header {
        program: "x.bpf.c".into(),
        object_hash: [4; 32],
        host: "kernel 6.18".into(),
        version: 0x61200,
        cpus: 4,
        began: 1,
        zero: 2,
    }
}

fn written(end: bool) -> Vec<u8> {
    let state = MapState {
        map: 0,
        entries: vec![(vec![0; 4], vec![1; 8])],
    };
    let (header, image, sites) = (header(), image(), sites());
    let what = Contents {
        header: &header,
        object: b"object",
        image: &image,
        types: Some(b"types"),
        sites: &sites,
        maps: &[state],
    };
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &what).unwrap();
    writer.event(&area(0, 2, 0)).unwrap();
    writer.lost(Lost { full: 3, deep: 1 }).unwrap();
    writer.event(&area(0, 1, 2)).unwrap();
    if end {
        let name = Name {
            process: 7,
            address: 8,
            lines: vec!["main+0x4".into()],
        };
        writer.end(&[], &[name]).unwrap();
    }
    bytes
}

#[test]
fn what_was_written_is_read() {
    let recording = Recording::parse(written(true)).unwrap();
    assert_eq!(recording.header(), &header());
    assert_eq!(recording.object(), b"object");
    assert_eq!(recording.types(), Some(&b"types"[..]));
    assert_eq!(recording.sites(), &sites());
    assert_eq!(recording.before()[0].entries, [(vec![0; 4], vec![1; 8])]);
    assert_eq!(recording.names()[0].lines, ["main+0x4"]);
    assert_eq!(recording.lost(), Lost { full: 3, deep: 1 });
    assert!(recording.is_whole());
    let (was, is) = (image(), recording.image());
    assert_eq!((&is.maps, &is.settings), (&was.maps, &was.settings));
    let (was, is) = (&was.programs[0], &is.programs[0]);
    assert_eq!(is.instructions, was.instructions);
    assert_eq!((&is.name, &is.section), (&was.name, &was.section));

    // By the numbers that the runs got, not as they came.
    let [first, second] = [0, 1].map(|number| recording.event(number).unwrap());
    assert_eq!((first.order(), second.order()), (1, 2));
    assert_eq!((first.cut(), second.cut()), (Some(Cut::Area), None));
    assert_eq!((second.time(), second.result(), second.cpu()), (1002, 5, 3));
    assert_eq!((second.tgid(), second.pid()), (7, 8));
    assert_eq!(second.comm(), b"cat");
    assert_eq!(second.context(), Some(&b"context."[..]));
    let seen: Vec<_> = second.seen().collect();
    assert_eq!((seen[0].site, seen[0].value), (2, 9));
    assert_eq!(seen[1].bytes, b"what was written there");
    assert_eq!(seen.len(), 2);
}

#[test]
fn what_was_cut_off_is_read_as_far_as_it_goes() {
    let whole = written(true);
    let mut most = 0;
    for len in 0..whole.len() {
        match Recording::parse(whole[..len].to_vec()) {
            Ok(recording) => {
                assert!(!recording.is_whole() || len + 8 > whole.len());
                assert!(recording.len() >= most, "{len}");
                most = recording.len();
            }
            Err(error) => assert_eq!(most, 0, "{len}: {error}"),
        }
    }
    assert_eq!(most, 2);
    let recording = Recording::parse(written(false)).unwrap();
    assert!(!recording.is_whole());
}

#[test]
fn damage_is_told_with_its_place() {
    let check = |bytes: Vec<u8>, wanted: &str| {
        let error = Recording::parse(bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("not a whole recording: {wanted}")
        );
    };
    check(b"ELF".to_vec(), "3 bytes are too few at byte 0");
    check(vec![0; 64], "it does not begin with SKEPREC at byte 0");
    let mut later = written(true);
    later[8] = 9;
    check(later, "it is of version 9, and this is for 1 at byte 8");
    let mut other = written(true);
    other[12..16].reverse();
    check(
        other,
        "it is from a machine of another byte order at byte 12",
    );
    let mut kind = written(true);
    kind[16] = 99;
    check(kind, "a block of kind 99 is not known at byte 24");
    // An item that says that it has more bytes than there are.
    let mut long = written(true);
    let place = long
        .windows(8)
        .position(|bytes| bytes == b"context.")
        .unwrap();
    long[place - 12..place - 8].copy_from_slice(&9999_u32.to_ne_bytes());
    let error = Recording::parse(long).unwrap_err().to_string();
    assert!(error.contains("an item goes over its end"), "{error}");
}
