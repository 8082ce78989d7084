//! Patterns over names: functions to hook are chosen with `*` and `?`.

/// Whether `name` is what `pattern` says: `*` stands for any text, `?` for any one byte.
///
/// ```
/// assert!(skep_abi::glob_matches("tcp_*msg", "tcp_sendmsg"));
/// assert!(!skep_abi::glob_matches("tcp_?", "tcp_ack"));
/// ```
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where to go on when what follows the last star does not fit: a byte further.
    let mut star = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == name.get(here) => {
                at += 1;
                here += 1;
            }
            _ => match star.as_mut() {
                Some((after, from)) => {
                    *from += 1;
                    (at, here) = (*after + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("vfs_read", "vfs_read", true),
            ("vfs_read", "vfs_readv", false),
            ("*_read", "vfs_read", true),
            ("*_read", "vfs_read_read", true),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "a_b_b_d", false),
            ("?b", "ab", true),
            ("?", "", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!glob_matches(&"*a".repeat(50), &"a".repeat(49)));
    }
}
