//! The addresses of the kernel's symbols, from `/proc/kallsyms`: read when one is first asked
//! for, once, as a stream, and kept as hashes of names beside addresses (2 MB where the text has
//! 10).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io::{self, BufRead, BufReader},
};

use skep_abi::Capability;
use skep_host::{Cause, Errno, Error, Result};

use crate::{LinuxHost, cause::missing, sys::errno_of};

const KALLSYMS: &str = "/proc/kallsyms";

/// All symbols of the kernel and its modules.
#[derive(Debug)]
pub(crate) struct Symbols {
    /// By hash. Of 200,000 names and one that is not among them, two have the same with a chance
    /// of 1 in 10^14.
    entries: Vec<(u64, u64)>,
    /// Every address is zero: this process may not see them.
    hidden: bool,
}

impl Symbols {
    fn read(lines: impl BufRead) -> io::Result<Self> {
        let mut symbols = Self {
            entries: Vec::new(),
            hidden: true,
        };
        each_of(lines, |symbol| {
            let Line { kind, name, .. } = symbol;
            let Some(address) = symbol.address() else {
                return;
            };
            symbols.hidden &= address == 0;
            symbols.entries.push((hash(name), address));
            if let Some(plain) = renamed_by_lto(kind, name) {
                symbols.entries.push((hash(plain), address));
            }
        })?;
        symbols.entries.sort_unstable();
        symbols.entries.dedup();
        symbols.entries.shrink_to_fit();
        Ok(symbols)
    }

    /// The addresses of a name, ascending.
    fn addresses(&self, name: &str) -> Vec<u64> {
        let wanted = hash(name.as_bytes());
        let from = self.entries.partition_point(|(hash, _)| *hash < wanted);
        let of_name = self.entries[from..]
            .iter()
            .take_while(|(hash, _)| *hash == wanted);
        of_name.map(|(_, address)| *address).collect()
    }
}

/// A symbol, as the kernel lists it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'l> {
    digits: &'l [u8],
    /// The letter of its kind, small for those of one file.
    pub(crate) kind: u8,
    pub(crate) name: &'l [u8],
    /// Of a module, its name.
    pub(crate) module: Option<&'l [u8]>,
}

impl Line<'_> {
    /// Its address: zero where this process may not see it.
    pub(crate) fn address(&self) -> Option<u64> {
        let digits = std::str::from_utf8(self.digits).ok()?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// It is code.
    pub(crate) fn is_function(&self) -> bool {
        matches!(self.kind, b't' | b'T' | b'w' | b'W')
    }
}

/// Shows all symbols, in the order of the kernel's list.
pub(crate) fn each(visit: impl FnMut(Line<'_>)) -> Result<(), Errno> {
    let file = File::open(KALLSYMS).and_then(|file| {
        // The kernel writes a page at a time, whatever is asked for.
        each_of(BufReader::with_capacity(1 << 16, file), visit)
    });
    file.map_err(|error| errno_of(&error))
}

fn each_of(mut lines: impl BufRead, mut visit: impl FnMut(Line<'_>)) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some(symbol) = parse(&line) {
            visit(symbol);
        }
        line.clear();
    }
    Ok(())
}

/// `ffffffff81000000 T _stext`, and behind a tab the module that a symbol is of. There are some
/// 200,000 lines: what each costs is looked at.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Addresses of 64 bits have 16 digits.
    let space = match line.get(16) {
        Some(b' ') => 16,
        _ => line.iter().position(|byte| *byte == b' ')?,
    };
    let (digits, rest) = line.split_at_checked(space)?;
    let [b' ', kind, b' ', rest @ ..] = rest else {
        return None;
    };
    let (name, module) = match rest.strip_suffix(b"]") {
        Some(rest) => {
            let tab = rest.iter().position(|byte| *byte == b'\t')?;
            let (name, module) = rest.split_at_checked(tab)?;
            (name, module.strip_prefix(b"\t["))
        }
        None => (rest, None),
    };
    let right = !name.is_empty() && !digits.is_empty();
    right.then_some(Line {
        digits,
        kind: *kind,
        name,
        module,
    })
}

/// The name in the source of a static variable that clang's link-time optimisation renamed
/// (`name.llvm.123`).
fn renamed_by_lto(kind: u8, name: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b".llvm.";
    let at = name.windows(MARK.len()).position(|part| part == MARK)?;
    (kind == b'd').then(|| &name[..at])
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

/// Reads all symbols.
pub(crate) fn read() -> Result<Symbols, Errno> {
    let file = File::open(KALLSYMS).and_then(|file| {
        // The kernel writes a page at a time, whatever is asked for.
        Symbols::read(BufReader::with_capacity(1 << 16, file))
    });
    file.map_err(|error| errno_of(&error))
}

/// The addresses of those names that the kernel has.
pub(crate) fn addresses(host: &LinuxHost, names: &[&str]) -> Result<BTreeMap<String, Vec<u64>>> {
    let symbols = host.symbols().map_err(|errno| {
        let cause = (errno == Errno::ENOENT).then_some(Cause::KernelOption("CONFIG_KALLSYMS"));
        Error::system("read", KALLSYMS, errno).because(cause)
    })?;
    let found = names
        .iter()
        .map(|name| ((*name).to_owned(), symbols.addresses(name)))
        .filter(|(_, addresses)| !addresses.is_empty());
    let found: BTreeMap<_, _> = found.collect();
    if symbols.hidden && !found.is_empty() {
        let (operation, errno) = ("see the addresses in", Errno::EPERM);
        return Err(Error::system(operation, KALLSYMS, errno).because(Some(hidden_by(host))));
    }
    Ok(found)
}

/// Why this process sees zeroes for addresses.
fn hidden_by(host: &LinuxHost) -> Cause {
    let restricted = fs::read_to_string("/proc/sys/kernel/kptr_restrict").unwrap_or_default();
    if restricted.trim() == "2" {
        return Cause::Sysctl {
            name: "kernel.kptr_restrict",
            value: "2".into(),
            wanted: "1",
        };
    }
    missing(host, [Capability::Syslog]).unwrap_or_else(|| Cause::Other {
        what: "the kernel shows zeroes for all addresses, although this process has CAP_SYSLOG"
            .into(),
        fix: "declare the symbol with its type (`extern const struct rq runqueues __ksym`): such \
              ones are found by BTF, without an address"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000010 t twice
ffffffff82000000 d moved.llvm.8412
ffffffffa0000000 t twice\t[veth]
ffffffffa0000020 t call.llvm.99\t[veth]
";

    #[test]
    fn names_are_found_with_all_their_addresses() {
        let symbols = Symbols::read(TEXT.as_bytes()).expect("text");
        assert!(!symbols.hidden);
        assert_eq!(symbols.addresses("_stext"), [0xffff_ffff_8100_0000]);
        assert_eq!(
            symbols.addresses("twice"),
            [0xffff_ffff_8100_0010, 0xffff_ffff_a000_0000]
        );
        assert_eq!(symbols.addresses("moved"), [0xffff_ffff_8200_0000]);
        assert_eq!(symbols.addresses("fixed_percpu_data"), [0]);
        // Of functions, another of the name may be what is meant.
        assert!(symbols.addresses("call").is_empty());
        assert!(symbols.addresses("_stex").is_empty());
    }

    #[test]
    fn zeroes_are_no_addresses() {
        let zeroes = "0000000000000000 T _stext\n0000000000000000 T vfs_read\n";
        assert!(Symbols::read(zeroes.as_bytes()).expect("text").hidden);
        let odd = "\n\u{0}\u{0}\nnonsense\nzz T x\n12 T\n";
        assert!(
            Symbols::read(odd.as_bytes())
                .expect("text")
                .entries
                .is_empty()
        );
    }
}
