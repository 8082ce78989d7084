//! Compressed bytes to plain ones, by their first bytes: what kernels, their modules and packages
//! are packed with. Each stops at a limit, so that a small file can't fill the memory.

use std::io::{self, Read};

use anyhow::{Context, anyhow, bail};

/// The most bytes that anything is unpacked to: a kernel with its debug information has less.
const LIMIT: u64 = 2 << 30;

/// Unpacks what is packed; `None` if these are not the first bytes of anything packed.
pub(super) fn decompressed(bytes: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let plain = match bytes {
        [0x1f, 0x8b, ..] => all(flate2::read::GzDecoder::new(bytes)).context("gzip")?,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            all(lzma_rust2::XzReader::new(bytes, false)).context("xz")?
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes)
                .map_err(|error| anyhow!("zstd: {error}"))?;
            all(decoder).context("zstd")?
        }
        [0x02, 0x21, 0x4c, 0x18, blocks @ ..] => lz4_legacy(blocks).context("lz4")?,
        [b'B', b'Z', b'h', ..] => bail!("it is packed with bzip2, which Skep does not unpack"),
        [0x89, b'L', b'Z', b'O', ..] => bail!("it is packed with lzo, which Skep does not unpack"),
        [0x5d, 0, 0, ..] => bail!("it is packed with lzma, which Skep does not unpack"),
        _ => return Ok(None),
    };
    Ok(Some(plain))
}

/// Reads to the end, or as far as the format goes before something else follows: a kernel has its
/// size behind its packed image.
fn all(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(LIMIT).read_to_end(&mut bytes)?;
    if read as u64 == LIMIT {
        return Err(io::Error::other("it unpacks to more than 2 GiB"));
    }
    Ok(bytes)
}

/// The old format of lz4, which kernels use: blocks of 8 MiB, each behind its packed length.
fn lz4_legacy(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut plain = Vec::new();
    let mut block = vec![0; BLOCK];
    while let Some((len, behind)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        let Some((packed, behind)) = behind.split_at_checked(len) else {
            // Behind the last block stands the size of all of it.
            break;
        };
        let unpacked = lz4_flex::block::decompress_into(packed, &mut block)?;
        plain.extend_from_slice(block.get(..unpacked).unwrap_or_default());
        if plain.len() as u64 > LIMIT {
            bail!("it unpacks to more than 2 GiB");
        }
        rest = behind;
        if unpacked < BLOCK {
            break;
        }
    }
    Ok(plain)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PLAIN: &[u8] = b"hello hello hello hello kernel\n";

    /// `PLAIN` by `xz`, with the check that kernels are packed with.
    const XZ: [u8; 76] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x01, 0x04,
        0x00, 0x21, 0x01, 0x00, 0x00, 0xda, 0x33, 0xad, 0x03, 0xe0, 0x00, 0x1e, 0x00, 0x13, 0x5d,
        0x00, 0x34, 0x19, 0x49, 0xee, 0x8d, 0xe9, 0x56, 0x0c, 0x60, 0x62, 0x16, 0x4f, 0x49, 0xb2,
        0xa4, 0x68, 0x27, 0x00, 0x00, 0x00, 0x00, 0xf9, 0x6c, 0xd9, 0x0b, 0x00, 0x01, 0x2b, 0x1f,
        0xb7, 0x45, 0xfe, 0xdb, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59,
        0x5a,
    ];
    pub(in super::super) const GZIP: [u8; 35] = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
        0x57, 0xc8, 0xc0, 0x20, 0xb3, 0x53, 0x8b, 0xf2, 0x52, 0x73, 0xb8, 0x00, 0xf9, 0x6c, 0xd9,
        0x0b, 0x1f, 0x00, 0x00, 0x00,
    ];
    const ZSTD: [u8; 32] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x1f, 0x9d, 0x00, 0x00, 0x68, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
        0x20, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c, 0x0a, 0x01, 0x00, 0xf1, 0x4a, 0x11, 0x2d, 0x10,
        0xb3, 0x0c,
    ];
    const LZ4: [u8; 25] = [
        0x02, 0x21, 0x4c, 0x18, 0x11, 0x00, 0x00, 0x00, 0x6e, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20,
        0x06, 0x00, 0x70, 0x6b, 0x65, 0x72, 0x6e, 0x65, 0x6c, 0x0a,
    ];

    #[test]
    fn all_that_kernels_are_packed_with_is_unpacked() {
        let packed: [&[u8]; 4] = [&GZIP, &XZ, &ZSTD, &LZ4];
        for packed in packed {
            assert_eq!(decompressed(packed).unwrap().as_deref(), Some(PLAIN));
            // As in a boot image: its size follows.
            let followed = [packed, &[31, 0, 0, 0]].concat();
            assert_eq!(decompressed(&followed).unwrap().as_deref(), Some(PLAIN));
            // Cut off, it is an error or shorter, and never more.
            for end in 4..packed.len() {
                if let Ok(Some(plain)) = decompressed(&packed[..end]) {
                    assert!(PLAIN.starts_with(&plain), "{end} bytes");
                }
            }
        }
        assert_eq!(decompressed(b"plain").unwrap(), None);
        let error = decompressed(b"BZh9").unwrap_err().to_string();
        assert!(error.contains("bzip2"), "{error}");
    }
}
