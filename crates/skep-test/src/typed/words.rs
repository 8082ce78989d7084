//! Words that stand for bytes: addresses, times, errors, hexadecimal text.

use std::net::IpAddr;

use skep::boundary::Errno;

/// The bytes of an IP address, in the order of networks.
pub(crate) fn address(text: &str) -> Option<Vec<u8>> {
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// A MAC address: `02:00:00:00:00:01`.
pub(crate) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// Nanoseconds: `1.5s`, `10ms`, `3us`, `7ns`, `2m`.
pub(crate) fn duration(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ')?;
    let (number, unit) = text.split_at(split);
    let unit: u64 = match unit.trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let number = number.trim();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let (whole, part) = number.split_once('.')?;
    let digits = u32::try_from(part.len())
        .ok()
        .filter(|len| (1..=9).contains(len))?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let part = part.parse::<u64>().ok()?;
    let part = u128::from(part) * u128::from(unit) / 10_u128.pow(digits);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// An error's number by its name: `EPERM` is 1.
pub(crate) fn errno_by_name(name: &str) -> Option<i32> {
    if !name.starts_with('E') {
        return None;
    }
    // 524 (ENOTSUPP) is the kernel's own.
    (1..=530).find(|number| Errno(*number).name() == Some(name))
}

/// The bytes of hexadecimal text, in which spaces, colons and line ends don't count.
///
/// # Errors
/// What is no digit, or that a digit is alone.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for c in text.chars() {
        if c.is_whitespace() || matches!(c, ':' | '-' | '_' | ',') {
            continue;
        }
        let digit = c.to_digit(16);
        let digit =
            digit.ok_or_else(|| format!("`{}` is no hexadecimal digit", c.escape_debug()))?;
        let digit = digit as u8;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    match high {
        None => Ok(bytes),
        Some(_) => Err("the last byte has only one digit".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("10.0.0.7"), Some(vec![10, 0, 0, 7]));
        assert_eq!(address("::1").map(|bytes| bytes.len()), Some(16));
        assert_eq!(address("10.0.0"), None);
        assert_eq!(mac("02:00:00:0a:00:01"), Some([2, 0, 0, 10, 0, 1]));
        assert_eq!(mac("02:00:00:0a:00"), None);
        assert_eq!(mac("02:00:00:0a:00:01:02"), None);
    }

    #[test]
    fn times() {
        assert_eq!(duration("1s"), Some(1_000_000_000));
        assert_eq!(duration("1.5 ms"), Some(1_500_000));
        assert_eq!(duration("0.000000001s"), Some(1));
        assert_eq!(duration("18446744073709551615s"), None);
        assert_eq!(duration("7"), None);
        assert_eq!(duration("1x"), None);
    }

    #[test]
    fn errors_have_names() {
        assert_eq!(errno_by_name("EPERM"), Some(1));
        assert_eq!(errno_by_name("XDP_DROP"), None);
    }

    #[test]
    fn hexadecimal_text() {
        assert_eq!(hex("0a:FF 1\n2"), Ok(vec![10, 255, 0x12]));
        assert!(hex("0x").unwrap_err().contains("`x`"));
        assert!(hex("abc").is_err());
    }
}
