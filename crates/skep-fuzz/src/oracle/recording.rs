//! Recordings: any bytes are one or not, and the programs of one can be changed for a replay or
//! can't.

use skep_isa::{Endian, InsnIndex, assemble};
use skep_object::{
    AttachKind, Contents as MapContents, Image, ImageFunction, ImageMap, ImageProgram, MapIndex,
    MapReference, MapReferenceKind, ProgramIndex, SectionName,
};
use skep_record::{
    Contents, Header, Lost, MapState, Name, Options, Recording, Writer, instrument, replayed,
};

/// A program that looks at its context, its maps, memory and the world.
const PROGRAM: &str = "
    r6 = r1
    call 14
    *(u64 *)(r10 - 8) = r0
    r2 = *(u64 *)(r6 + 16)
    r1 = r10
    r1 += -24
    r3 = r2
    r2 = 16
    call 113
    r1 = 0 ll
    r2 = r10
    r2 += -8
    call 1
    if r0 == 0 goto out
    r7 = *(u64 *)(r0 + 0)
    r8 = *(u32 *)(r7 + 40)
    *(u64 *)(r0 + 0) = r8
out:
    r0 = 0
    exit
";

/// Where the program refers to its map.
const REFERENCE: u32 = 9;

fn image() -> Image {
    let mut image = Image::new("seed", Endian::NATIVE);
    let mut map = ImageMap::new("seen", skep_abi::MapType::Hash, 8, 8, 16);
    map.contents = MapContents::Empty;
    image.maps.push(map);
    let section = SectionName::parse("raw_tp/sys_enter").expect("a section");
    assert_eq!(section.kind(), AttachKind::RawTracepoint);
    let kind = skep_abi::ProgramType::RawTracepoint;
    let mut program = ImageProgram::new(ProgramIndex(0), "look", section, kind);
    program.license = "GPL".into();
    program.instructions = assemble(PROGRAM).expect("a program");
    program.map_references.push(MapReference {
        insn: InsnIndex(REFERENCE),
        map: MapIndex(0),
        kind: MapReferenceKind::Map,
    });
    program.functions.push(ImageFunction {
        name: "look".into(),
        start: InsnIndex(0),
        type_id: None,
    });
    image.programs.push(program);
    image
}

/// A whole recording, with two events.
pub(crate) fn recordings() -> Vec<Vec<u8>> {
    let image = image();
    let mut changed = image.clone();
    let kfuncs = skep_record::Kfuncs::new();
    let sites = instrument(&mut changed, &Options::new(2), &kfuncs, &|_| None);
    let sites = sites.expect("the seed can be recorded");
    let header = Header {
        program: "seed.bpf.c".into(),
        host: "kernel 6.18".into(),
        cpus: 2,
        ..Header::default()
    };
    let state = MapState {
        map: 0,
        entries: vec![(vec![1; 8], vec![2; 8])],
    };
    let what = Contents {
        header: &header,
        object: b"\x7fELF",
        image: &image,
        types: None,
        sites: &sites,
        maps: &[state],
    };
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &what).expect("memory can be written");
    for _ in 0..2 {
        let mut area = vec![0; 112];
        for (site, extra) in [(0x7fff_ffff_u32, 24_u32), (1, 0), (8, 24), (12, 0)] {
            area.extend(site.to_ne_bytes());
            area.extend(extra.to_ne_bytes());
            area.extend(7_u64.to_ne_bytes());
            area.resize(area.len() + (extra as usize).next_multiple_of(16), 3);
        }
        writer.event(&area).expect("an event");
    }
    let lost = Lost { full: 1, deep: 0 };
    writer.lost(lost).expect("memory can be written");
    let name = Name {
        process: 7,
        address: 0x1000,
        lines: vec!["main+0x4".into()],
    };
    writer.end(&[], &[name]).expect("memory can be written");
    let seed = Recording::parse(bytes.clone()).expect("the seed is a recording");
    assert!(seed.is_whole() && seed.len() == 2, "the seed is not whole");
    vec![bytes]
}

/// Input: a file.
pub(crate) fn recording(input: &[u8]) {
    let recording = match Recording::parse(input.to_vec()) {
        Ok(recording) => recording,
        Err(error) => return super::readable(&error),
    };
    let mut last = 0;
    for event in recording.events() {
        let event = event.expect("an event that was read can be read again");
        assert!(event.order() >= last, "events are in order");
        last = event.order();
        let bytes: usize = event.seen().map(|item| item.bytes.len()).sum();
        assert!(bytes <= input.len(), "more bytes than the file has");
        let _ = (event.context(), event.packet(), event.comm(), event.cut());
    }
    let words = |program: &ImageProgram| {
        let mut known = recording.sites().programs.iter();
        known.find(|known| known.name == program.name)?.words
    };
    match replayed(recording.image(), &recording.sites().kfuncs, &words) {
        Ok((image, sites)) => {
            assert_eq!(image.programs.len(), sites.programs.len());
        }
        Err(error) => super::readable(&error),
    }
}
