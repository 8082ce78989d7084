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
        let mut lines = lines;
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if let Some((address, kind, name)) = parse(&line) {
                symbols.hidden &= address == 0;
                symbols.entries.push((hash(name), address));
                if let Some(plain) = renamed_by_lto(kind, name) {
                    symbols.entries.push((hash(plain), address));
                }
            }
            line.clear();
        }
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

/// `ffffffff81000000 T _stext`, and behind a tab the module that a symbol is of.
fn parse(line: &[u8]) -> Option<(u64, u8, &[u8])> {
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let address = std::str::from_utf8(words.next()?).ok()?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let kind = *words.next()?.first()?;
    Some((address, kind, words.next()?))
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
