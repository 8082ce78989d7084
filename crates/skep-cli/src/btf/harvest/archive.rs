//! What is in a Debian package: an `ar` archive with a `tar` in it.

use anyhow::{Context, bail};

use super::decompress::decompressed;

/// The first bytes of an `ar` archive.
pub(super) const MAGIC: &[u8] = b"!<arch>\n";

/// The files of a package, as a tar.
pub(super) fn files_of_package(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    const HEADER: usize = 60;
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    while let Some((header, behind)) = rest.split_at_checked(HEADER) {
        let name = text(header, 0, 16).trim_end_matches('/');
        let size = text(header, 48, 10).parse::<usize>();
        let size = size.context("a member of the package has no size")?;
        let Some(data) = behind.get(..size) else {
            bail!("the package is cut off in its member `{name}`");
        };
        if name.starts_with("data.tar") {
            let plain = decompressed(data).with_context(|| name.to_owned())?;
            return Ok(plain.unwrap_or_else(|| data.to_vec()));
        }
        // Members begin at even offsets.
        rest = behind.get(size + size % 2..).unwrap_or_default();
    }
    bail!("the package has no files: there is no data.tar in it")
}

fn text(header: &[u8], at: usize, len: usize) -> &str {
    let field = header.get(at..at + len).unwrap_or_default();
    std::str::from_utf8(field).unwrap_or_default().trim_end()
}

/// The regular files of a tar: path and content.
pub(super) fn tar(bytes: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    const BLOCK: usize = 512;
    let mut rest = bytes;
    let mut long_name: Option<String> = None;
    std::iter::from_fn(move || {
        loop {
            let (header, behind) = rest.split_at_checked(BLOCK)?;
            if header.iter().all(|byte| *byte == 0) {
                return None;
            }
            let size = octal(header.get(124..136)?)?;
            let content = behind.get(..size)?;
            rest = behind
                .get(size.checked_next_multiple_of(BLOCK)?..)
                .unwrap_or_default();
            let until_zero = |field: &[u8]| {
                let end = field
                    .iter()
                    .position(|byte| *byte == 0)
                    .unwrap_or(field.len());
                String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
            };
            match header.get(156)? {
                // GNU: the next entry's name, which is too long for a header.
                b'L' => long_name = Some(until_zero(content)),
                b'0' | 0 => {
                    let name = long_name.take().unwrap_or_else(|| {
                        let (name, prefix) = (header.get(..100), header.get(345..500));
                        let name = until_zero(name.unwrap_or_default());
                        let prefix = until_zero(prefix.unwrap_or_default());
                        // GNU's own format has times where others have the prefix.
                        match header.get(257..263) == Some(b"ustar\0") && !prefix.is_empty() {
                            true => format!("{prefix}/{name}"),
                            false => name,
                        }
                    });
                    return Some((name.trim_start_matches("./").to_owned(), content));
                }
                _ => long_name = None,
            }
        }
    })
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    usize::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of a tar.
    fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        bytes[156] = kind;
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{name:<16}{:<32}{:<10}`\n", 0, content.len()).into_bytes();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    #[test]
    fn a_package_has_its_files() {
        let long = "boot/".to_owned() + &"a".repeat(150);
        let files = [
            entry("./boot/", b'5', b""),
            entry("./boot/vmlinuz-6.1", b'0', b"kernel"),
            entry("././@LongLink", b'L', long.as_bytes()),
            entry("cut", b'0', b"long"),
            vec![0; 1024],
        ]
        .concat();
        let package = [
            MAGIC.to_vec(),
            member("debian-binary", b"2.0"),
            member("data.tar", &files),
        ]
        .concat();
        let found = files_of_package(&package).unwrap();
        let names: Vec<_> = tar(&found).collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0], ("boot/vmlinuz-6.1".to_owned(), &b"kernel"[..]));
        assert_eq!(names[1], (long, &b"long"[..]));
        for end in 0..package.len() {
            if let Ok(files) = files_of_package(&package[..end]) {
                tar(&files).count();
            }
        }
        let empty = [MAGIC, b"debian-binary"].concat();
        assert!(files_of_package(&empty).is_err());
    }
}
