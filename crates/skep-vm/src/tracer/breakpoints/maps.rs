//! The mappings of a process, as `/proc/PID/maps` lists them: which file is where.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::fs::{major, minor};

/// A file, whatever it is called: also where it was renamed or deleted, or is seen from another
/// mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    major: u32,
    minor: u32,
    inode: u64,
}

impl FileId {
    /// The file at a path.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            major: major(metadata.dev()),
            minor: minor(metadata.dev()),
            inode: metadata.ino(),
        })
    }

    /// Its number on its device.
    pub(super) fn inode(self) -> u64 {
        self.inode
    }
}

/// A mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    /// Behind its last byte.
    pub(super) end: u64,
    pub(super) writable: bool,
    pub(super) executable: bool,
    /// What is written there reaches the file.
    pub(super) shared: bool,
    /// Offset in the file of its first byte.
    pub(super) offset: u64,
    /// `None`: anonymous.
    pub(super) file: Option<FileId>,
    /// As the kernel shows it: a path of the process's mount namespace, or `[vdso]`.
    pub(super) name: String,
}

impl Mapping {
    /// The address of a byte of the file, if it is in here.
    pub(super) fn address_of(&self, offset: u64) -> Option<u64> {
        let within = offset.checked_sub(self.offset)?;
        (within < self.end - self.start).then(|| self.start + within)
    }

    /// Whether an address is in here.
    pub(super) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// The mappings of a process, by address.
///
/// # Errors
/// The process is gone, or may not be looked at.
pub(super) fn of_process(pid: i32) -> io::Result<Vec<Mapping>> {
    // Bytes, since a file's name may be any.
    let text = fs::read(format!("/proc/{pid}/maps"))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Lines that are not as they should be are left out.
fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(line).collect()
}

/// `55d0c0a00000-55d0c0a02000 r-xp 00001000 fe:01 1234   /usr/bin/true`
fn line(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = behind;
        field
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = field().split_once('-')?;
    let rights = field().as_bytes();
    let offset = hex(field())?;
    let (device, second) = field().split_once(':')?;
    let inode = field().parse().ok()?;
    let file = FileId {
        major: hex(device)?.try_into().ok()?,
        minor: hex(second)?.try_into().ok()?,
        inode,
    };
    let (start, end) = (hex(start)?, hex(end)?);
    let right = |at: usize, letter| rights.get(at) == Some(&letter);
    (start < end).then(|| Mapping {
        start,
        end,
        writable: right(1, b'w'),
        executable: right(2, b'x'),
        shared: right(3, b's'),
        offset,
        file: (inode != 0).then_some(file),
        name: rest.trim_start().to_owned(),
    })
}

/// Where `size` bytes are free, as near as can be to a mapping that ends at `end` and starts at
/// `start`, and within reach of all of it by a 32-bit displacement.
pub(super) fn free_near(mappings: &[Mapping], start: u64, end: u64, size: u64) -> Option<u64> {
    /// A displacement's reach, less what a slot takes and operands may lie beyond the code.
    const REACH: u64 = (1 << 31) - (1 << 26);
    /// Nothing is below: the kernel may not let ordinary users map there.
    const LOWEST: u64 = 1 << 16;
    /// The end of user space.
    const HIGHEST: u64 = (1 << 47) - 4096;
    /// The heap grows behind the program, stacks grow down: leave them room.
    const ROOM: u64 = 1 << 24;
    let lowest = end.saturating_sub(REACH).max(LOWEST);
    let highest = start.saturating_add(REACH).min(HIGHEST);
    let gaps = {
        let ends = std::iter::once(0).chain(mappings.iter().map(|mapping| mapping.end));
        let starts = mappings.iter().map(|mapping| mapping.start);
        ends.zip(starts.chain([u64::MAX]))
    };
    let distance = |at: u64| match at < start {
        true => start - at,
        false => at - start,
    };
    let fits = |(from, to): (u64, u64)| {
        let (from, to) = (from.max(lowest), to.min(highest));
        let space = to.checked_sub(from)?;
        let spare = space.checked_sub(size)?;
        let room = ROOM.min(spare / 2) & !0xfff;
        let low = from.checked_add(room)?.next_multiple_of(4096);
        let high = to.checked_sub(size)?.checked_sub(room)? & !0xfff;
        (low <= high).then(|| match distance(low) < distance(high) {
            true => low,
            false => high,
        })
    };
    gaps.filter_map(fits).min_by_key(|at| distance(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds() {
        let text = "00400000-00401000 r-xp 00000000 fe:01 77 /bin/a name (deleted)\n\
                    00600000-00601000 rw-s 00001000 00:2b 9                          /dev/shm/x\n\
                    7ffc0000-7ffd0000 rw-p 00000000 00:00 0                          [stack]\n\
                    nonsense\n\
                    7000-6000 r--p 00000000 00:00 0\n\
                    7ffff000-80000000 r-xp 00000000 00:00 0\n";
        let found = parse(text);
        assert_eq!(found.len(), 4);
        assert!(found[0].executable && !found[0].shared && !found[0].writable);
        assert_eq!(found[0].name, "/bin/a name (deleted)");
        let id = |major, minor, inode| {
            Some(FileId {
                major,
                minor,
                inode,
            })
        };
        assert_eq!(found[0].file, id(0xfe, 1, 77));
        assert!(found[1].shared && found[1].writable && !found[1].executable);
        assert_eq!(found[1].address_of(0x1008), Some(0x0060_0008));
        assert_eq!(found[1].address_of(0x0fff), None);
        assert_eq!(found[1].address_of(0x2000), None);
        assert_eq!((found[2].file, found[2].name.as_str()), (None, "[stack]"));
        assert_eq!(found[3].name, "");
    }

    #[test]
    fn this_process_maps_its_own_binary() {
        let path = std::env::current_exe().unwrap();
        let id = FileId::of(&path).unwrap();
        let mappings = of_process(std::process::id() as i32).unwrap();
        let code = lines_of_all_kinds as fn() as usize as u64;
        let mapping = mappings
            .iter()
            .find(|mapping| mapping.contains(code))
            .unwrap();
        assert!(mapping.executable && !mapping.shared);
        assert_eq!(mapping.file, Some(id), "{mapping:?}");
        let offset = mapping.offset + (code - mapping.start);
        assert_eq!(mapping.address_of(offset), Some(code));
        // The file has the same bytes there.
        use std::os::unix::fs::FileExt as _;
        let mut bytes = [0; 8];
        fs::File::open(&path)
            .unwrap()
            .read_exact_at(&mut bytes, offset)
            .unwrap();
        let mut own = [0; 8];
        let memory = fs::File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut own, code).unwrap();
        assert_eq!(bytes, own);
    }

    #[test]
    fn a_free_place_is_near_and_free() {
        let text = "10000000-10002000 r-xp 00000000 fe:01 77 /bin/a\n\
                    10002000-20000000 rw-p 00000000 00:00 0 [heap]\n\
                    7f0000000000-7f0000100000 r-xp 00000000 fe:01 78 /lib/b\n\
                    7f0000100000-7f0000101000 r--p 00000000 fe:01 78 /lib/b\n";
        let mappings = parse(text);
        for mapping in &mappings {
            let (start, end) = (mapping.start, mapping.end);
            let at = free_near(&mappings, start, end, 0x10000).unwrap();
            assert_eq!(at % 4096, 0);
            assert!(at.abs_diff(end) < 1 << 31 && at.abs_diff(start) < 1 << 31);
            let crosses = |other: &Mapping| at < other.end && at + 0x10000 > other.start;
            assert!(!mappings.iter().any(crosses), "{at:#x}");
        }
        // All that is in reach is taken.
        let full = parse("0-ffffffffffff0000 r-xp 00000000 fe:01 77 /bin/a\n");
        assert_eq!(free_near(&full, 0x1000_0000, 0x1000_1000, 4096), None);
    }
}
