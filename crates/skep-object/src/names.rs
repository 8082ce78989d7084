//! Names as the kernel takes them: short, and of few letters.

/// The longest name of a map or program, in bytes: uapi `BPF_OBJ_NAME_LEN` without its NUL.
const LONGEST: usize = 15;

/// A name that the kernel takes for a map or program: its first 15 bytes, with `_` for each that
/// is no ASCII letter, digit, `_` or `.`.
pub(crate) fn kernel_name(name: &str) -> String {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    let byte = |byte: u8| if valid(byte) { char::from(byte) } else { '_' };
    name.bytes().take(LONGEST).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::kernel_name;

    #[test]
    fn names_become_short_and_plain() {
        assert_eq!(kernel_name("events"), "events");
        assert_eq!(kernel_name("a_name_longer_than_that"), "a_name_longer_t");
        assert_eq!(kernel_name("my-prog.rodata"), "my_prog.rodata");
        assert_eq!(kernel_name("Vec<u8>"), "Vec_u8_");
        assert_eq!(kernel_name("é"), "__");
    }
}
