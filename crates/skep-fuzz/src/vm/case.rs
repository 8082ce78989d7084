//! A case: programs, the maps that they use, and what they are run on; the same for each host.

use skep_abi::{MapCreateFlags, MapType, ProgramType};
use skep_isa::RawInsn;

/// A map as all hosts create it.
#[derive(Debug, Clone, Copy)]
pub struct MapShape {
    /// Its type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Entries.
    pub entries: u32,
    /// Flags of its creation.
    pub flags: MapCreateFlags,
    /// Programs that may sleep may use it.
    pub sleepable: bool,
}

const fn shape(map_type: MapType, key: u32, value: u32, entries: u32) -> MapShape {
    MapShape {
        map_type,
        key,
        value,
        entries,
        flags: MapCreateFlags::empty(),
        sleepable: true,
    }
}

/// The first map: where programs leave their registers and locals for comparison.
pub(super) const OUT: usize = 0;
/// The map of texts.
pub(super) const TEXT: usize = 15;
/// The array of programs for tail calls.
pub(super) const PROGRAMS: usize = 12;

/// The maps that programs use, by number.
pub const MAPS: [MapShape; 16] = [
    shape(MapType::Array, 4, 128, 1),
    shape(MapType::Array, 4, 64, 4),
    shape(MapType::Hash, 8, 64, 4),
    shape(MapType::Hash, 4, 16, 64),
    shape(MapType::PercpuArray, 4, 64, 2),
    shape(MapType::PercpuHash, 4, 16, 8),
    shape(MapType::LruHash, 4, 64, 256),
    shape(MapType::LruPercpuHash, 4, 16, 256),
    shape(MapType::Queue, 0, 16, 4),
    shape(MapType::Stack, 0, 16, 4),
    shape(MapType::Ringbuf, 0, 0, 4096),
    MapShape {
        flags: MapCreateFlags::NO_PREALLOC,
        sleepable: false,
        ..shape(MapType::LpmTrie, 8, 16, 16)
    },
    MapShape {
        sleepable: false,
        ..shape(MapType::ProgArray, 4, 4, 4)
    },
    MapShape {
        sleepable: false,
        ..shape(MapType::BloomFilter, 0, 8, 32)
    },
    MapShape {
        flags: MapCreateFlags::NO_PREALLOC,
        sleepable: false,
        ..shape(MapType::Hash, 4, 24, 8)
    },
    MapShape {
        flags: MapCreateFlags::RDONLY_PROG,
        ..shape(MapType::Array, 4, TEXTS.len() as u32, 1)
    },
];

/// What is in the map of texts, which is frozen: formats and words, each with its zero.
pub(crate) const TEXTS: &[u8] = b"%d %u %x\0%llx %lld %%\0[%5d|%-8x|%08x]\0%c%c%i\0%lu %lx\0\
    no words at all\0bpf\0bpf!\0\0%3llu%-3d.\0";

/// Instructions of a program before its maps have descriptors.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// Its slots.
    pub slots: Vec<RawInsn>,
    /// Which of them name a map, by number.
    pub maps: Vec<(usize, usize)>,
    /// Which of them call a kernel function, by name.
    pub kfuncs: Vec<(usize, &'static str)>,
    /// Where its functions begin.
    pub functions: Vec<usize>,
}

/// Something to run.
#[derive(Debug, Clone)]
pub struct Case {
    /// The type of its programs.
    pub program_type: ProgramType,
    /// What runs.
    pub main: Body,
    /// What tail calls go to.
    pub tails: Vec<Body>,
    /// The context, for types that take one from users.
    pub context: Vec<u8>,
    /// The packet.
    pub packet: Vec<u8>,
}

impl Case {
    /// The maps that it names.
    pub fn maps(&self) -> Vec<usize> {
        let bodies = std::iter::once(&self.main).chain(&self.tails);
        let mut used: Vec<_> = bodies
            .flat_map(|body| body.maps.iter().map(|(_, map)| *map))
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use skep_isa::{Disassembler, NoSymbols};
        writeln!(
            f,
            "{:?}, context {:02x?}, packet {:02x?}",
            self.program_type, self.context, self.packet
        )?;
        for (number, body) in std::iter::once(&self.main).chain(&self.tails).enumerate() {
            let text = Disassembler::new(&NoSymbols)
                .program(&body.slots)
                .to_string();
            writeln!(
                f,
                "program {number}, functions at {:?}:\n{text}",
                body.functions
            )?;
        }
        Ok(())
    }
}
