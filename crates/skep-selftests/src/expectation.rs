//! What a selftest says of itself: declaration tags of its functions, as the kernel's
//! `bpf_misc.h` writes them.

use std::collections::BTreeMap;

use skep_abi::ProgLoadFlags;
use skep_btf::{Btf, KindTag};

/// What is expected of a program.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Loaded with all capabilities, if that is tested.
    pub privileged: Option<Expected>,
    /// Loaded without, if that is tested.
    pub unprivileged: Option<Expected>,
    /// Flags to load it with.
    pub flags: ProgLoadFlags,
    /// It is loaded along with every test of its object.
    pub auxiliary: bool,
    /// The object whose types its CO-RE relocations are made by, in place of the kernel's.
    pub types: Option<String>,
    /// It is to be run on other machines than this one.
    pub elsewhere: bool,
}

/// What is expected of one load.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// It loads.
    pub accept: bool,
    /// What the kernel's log is to contain: why it is refused, mostly.
    pub messages: Vec<String>,
    /// What a test run returns.
    pub value: Option<Value>,
}

/// What a test run is to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// This number.
    Number(u32),
    /// Some number: an address.
    Any,
}

/// By function.
pub(crate) fn expectations(btf: Option<&Btf>) -> BTreeMap<String, Expectation> {
    let mut expected = BTreeMap::new();
    let Some(btf) = btf else { return expected };
    for function in btf
        .types()
        .filter(|one| one.tag() == Some(KindTag::Function))
    {
        let one = Expectation::of(btf.decl_tags(function.id(), None));
        expected.insert(function.name().to_owned(), one);
    }
    expected
}

impl Expectation {
    fn of<'t>(tags: impl IntoIterator<Item = &'t str>) -> Self {
        let mut expectation = Self::default();
        let mut loads = [Tags::default(), Tags::default()];
        let (mut machines, mut this) = (0, 0);
        for tag in tags {
            let tag = tag.strip_prefix("comment:").unwrap_or(tag);
            let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
            if name == "test_prog_flags" {
                let (clears, flag) = match value.strip_prefix('!') {
                    Some(flag) => (true, flag),
                    None => (false, value),
                };
                if let Some(flag) = named_flag(flag) {
                    expectation.flags.set(flag, !clears);
                }
                continue;
            }
            match name {
                "test_auxiliary" => expectation.auxiliary = true,
                "test_btf_path" => {
                    let name = value.split('.').next().unwrap_or_default();
                    expectation.types = Some(name.to_owned());
                }
                _ => {}
            }
            if name == "test_arch" {
                machines += 1;
                this += u32::from(value.eq_ignore_ascii_case(std::env::consts::ARCH));
                continue;
            }
            let (name, load) = match name.strip_suffix("_unpriv") {
                Some(name) => (name, 1),
                None => (name, 0),
            };
            let Some(load) = loads.get_mut(load) else {
                continue;
            };
            match name {
                "test_expect_success" => load.accept = Some(true),
                "test_expect_failure" => load.accept = Some(false),
                "test_expect_msg" | "test_expect_regex" => {
                    // Numbered, so that equal ones stay apart.
                    let text = value.split_once('=').map_or(value, |(_, text)| text);
                    load.messages.push(text.to_owned());
                }
                "test_retval" => load.value = number(value),
                _ => {}
            }
        }
        expectation.elsewhere = machines > 0 && this == 0;
        let [privileged, mut unprivileged] = loads;
        // What is not said of the load without capabilities is as with them.
        if unprivileged.messages.is_empty() {
            unprivileged.messages.clone_from(&privileged.messages);
        }
        unprivileged.value = unprivileged.value.or(privileged.value);
        expectation.privileged = privileged.expected();
        expectation.unprivileged = unprivileged.expected();
        expectation
    }
}

#[derive(Default)]
struct Tags {
    accept: Option<bool>,
    messages: Vec<String>,
    value: Option<Value>,
}

impl Tags {
    fn expected(self) -> Option<Expected> {
        Some(Expected {
            accept: self.accept?,
            messages: self.messages,
            value: self.value,
        })
    }
}

/// A flag: its C name, or its number.
fn named_flag(name: &str) -> Option<ProgLoadFlags> {
    let number = match name.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => name.parse().ok(),
    };
    match number {
        Some(number) => Some(ProgLoadFlags::from_bits_retain(number)),
        None => ProgLoadFlags::from_name(name.strip_prefix("BPF_F_")?),
    }
}

/// A return value, as C spells it.
fn number(text: &str) -> Option<Value> {
    let text = text.trim_matches(['(', ')', ' ']);
    match text {
        "INT_MIN" => return Some(Value::Number(i32::MIN.cast_unsigned())),
        "POINTER_VALUE" => return Some(Value::Any),
        "TEST_DATA_LEN" => return Some(Value::Number(TEST_DATA_LEN)),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let digits = digits.trim_end_matches(['u', 'U', 'l', 'L']);
    let number = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok()?,
        None => digits.parse::<i64>().ok()?,
    };
    let number = if negative {
        number.wrapping_neg()
    } else {
        number
    };
    // The kernel reports 32 bits.
    Some(Value::Number(number as u32))
}

/// Bytes of packet that a test run is given.
pub const TEST_DATA_LEN: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_what_is_expected() {
        let one = Expectation::of([
            "comment:test_description=a test",
            "comment:test_expect_failure",
            "comment:test_expect_msg=7=R1 type=ctx expected=fp",
            "comment:test_expect_success_unpriv",
            "comment:test_retval=-22",
            "comment:test_prog_flags=BPF_F_ANY_ALIGNMENT",
            "comment:test_prog_flags=0x8",
        ]);
        let privileged = one.privileged.unwrap();
        assert!(!privileged.accept);
        assert_eq!(privileged.messages, ["R1 type=ctx expected=fp"]);
        assert_eq!(privileged.value, Some(Value::Number(-22_i32 as u32)));
        let unprivileged = one.unprivileged.unwrap();
        assert!(unprivileged.accept);
        assert_eq!(unprivileged.messages, privileged.messages);
        assert_eq!(
            one.flags,
            ProgLoadFlags::ANY_ALIGNMENT | ProgLoadFlags::from_bits_retain(8)
        );
    }

    #[test]
    fn programs_of_other_machines_are_elsewhere() {
        let on = |tags: &[&'static str]| Expectation::of(tags.iter().copied()).elsewhere;
        assert!(on(&["comment:test_arch=PDP11"]));
        assert!(!on(&["comment:test_expect_success"]));
        let here = format!(
            "comment:test_arch={}",
            std::env::consts::ARCH.to_uppercase()
        );
        assert!(!Expectation::of(["comment:test_arch=PDP11", here.as_str()]).elsewhere);
    }

    #[test]
    fn return_values_are_what_c_makes_of_them() {
        for (text, number) in [
            ("0", 0),
            ("0xdeadbeef", 0xdead_beef),
            ("-1", u32::MAX),
            ("(-44)", -44_i32 as u32),
            ("INT_MIN", 0x8000_0000),
            ("TEST_DATA_LEN", 64),
        ] {
            assert_eq!(super::number(text), Some(Value::Number(number)), "{text}");
        }
        assert_eq!(super::number("POINTER_VALUE"), Some(Value::Any));
        assert_eq!(super::number("a + b"), None);
    }
}
