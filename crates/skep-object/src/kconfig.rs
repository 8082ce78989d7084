//! Fills the map of `.kconfig` with the target's configuration.

use std::collections::BTreeMap;

use skep_abi::KernelVersion;
use skep_btf::{Kind, KindTag, TypeId};
use skep_isa::Endian;

use crate::{
    CodePlace, Contents, Error, ExternIndex, ImageMap, LinkOptions, Object, Result, Target,
};

/// Writes the value of each extern of `.kconfig`: the user's, or else the target's, and answers
/// them. What the target does not have is zero if it is weak or no instruction asks for it.
pub(crate) fn fill(
    object: &Object,
    options: &LinkOptions,
    target: &Target,
    used: &BTreeMap<ExternIndex, CodePlace>,
    maps: &mut [ImageMap],
) -> Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    let Some(layout) = &object.kconfig else {
        return Ok(settings);
    };
    let mut bytes = vec![0; usize::try_from(layout.size).unwrap_or(0)];
    for value in &layout.values {
        let Some(external) = object.externs.get(value.external.as_usize()) else {
            continue;
        };
        let start = usize::try_from(value.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(value.size).unwrap_or(usize::MAX));
        let Some(place) = bytes.get_mut(start..end) else {
            continue;
        };
        let chosen = options.config.get(&external.name).cloned();
        let (setting, whose) = match chosen {
            Some(chosen) => (Some(chosen), "the value given"),
            None => (setting(target, &external.name), "the target's"),
        };
        let written = match &setting {
            Some(setting) => write(object, external.type_id, setting, place)
                .map_err(|problem| format!("{whose} is `{setting}`, {problem}")),
            None => Err("the target's configuration does not have it".to_owned()),
        };
        if let Err(problem) = written {
            match used.get(&value.external) {
                // A value that does not fit its type is wrong, weak or not.
                Some(at) if !external.weak || setting.is_some() => {
                    return Err(Error::Extern {
                        name: external.name.clone(),
                        problem,
                        used_at: Some(at.clone()),
                    });
                }
                _ => place.fill(0),
            }
        } else if let Some(setting) = setting {
            settings.insert(external.name.clone(), setting);
        }
    }
    if let Some(map) = maps.get_mut(layout.map.as_usize()) {
        map.contents = Contents::Data(bytes);
    }
    Ok(settings)
}

/// The value of a setting: of the configuration, or of what loaders add to it.
fn setting(target: &Target, name: &str) -> Option<String> {
    let yes = |has: bool| Some(if has { "y" } else { "n" }.to_owned());
    match name {
        "LINUX_KERNEL_VERSION" => Some(target.version.code().to_string()),
        "LINUX_HAS_BPF_COOKIE" => yes(target.version >= KernelVersion::new(5, 15)),
        "LINUX_HAS_SYSCALL_WRAPPER" => yes(has_syscall_wrapper(target)),
        _ => target.config.get(name).cloned(),
    }
}

/// Whether system calls are functions that take registers in memory, named after the machine.
fn has_syscall_wrapper(target: &Target) -> bool {
    let in_btf = |name| {
        target
            .kernel_btf
            .as_ref()
            .is_some_and(|btf| btf.find(name, KindTag::Function).is_some())
    };
    Target::SYSCALL_WRAPPERS
        .into_iter()
        .any(|name| in_btf(name) || target.symbols.contains_key(name))
}

/// Writes a setting as the variable's type has it: a boolean, a letter or tristate (`n`, `y`,
/// `m`), a number, or text. Answers what is wrong with it.
fn write(
    object: &Object,
    type_id: TypeId,
    setting: &str,
    place: &mut [u8],
) -> Result<(), &'static str> {
    let Some(btf) = &object.btf else {
        return Err("and the extern has no type");
    };
    let unreadable = "and the extern's type can't be read";
    let found = btf.skip_modifiers(type_id).map_err(|_| unreadable)?;
    match found.kind() {
        Kind::Int(int) if int.encoding.is_bool() => match setting {
            "y" => put(place, 1, object.endian),
            "n" => put(place, 0, object.endian),
            _ => return Err("and a _Bool takes `y` or `n`"),
        },
        Kind::Int(int) if int.size == 1 && matches!(setting, "y" | "n" | "m") => {
            let letter = setting.bytes().next().unwrap_or(0);
            put(place, letter.into(), object.endian);
        }
        Kind::Enum(values) if values.size == 4 && found.name() == TRISTATE => {
            let number = match setting {
                "n" => 0,
                "y" => 1,
                "m" => 2,
                _ => return Err("and a tristate takes `y`, `m` or `n`"),
            };
            put(place, number, object.endian);
        }
        Kind::Int(int) => {
            let number = parse_number(setting).ok_or("and an integer takes a number")?;
            let bits = int.size.saturating_mul(8);
            let (least, most) = match (int.encoding.is_signed(), bits) {
                (_, 0 | 65..) => return Err("and its type is no integer of 1 to 8 bytes"),
                (true, bits) => {
                    let most = (1_i128 << bits.saturating_sub(1)).saturating_sub(1);
                    (most.saturating_neg().saturating_sub(1), most)
                }
                (false, bits) => (0, (1_i128 << bits).saturating_sub(1)),
            };
            if number < least || number > most {
                return Err("which its type is too small for");
            }
            let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = number.to_le_bytes();
            let number = u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
            put(place, number, object.endian);
        }
        Kind::Array(array) if btf.size_of(array.element) == Ok(1) => {
            let text = setting
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .ok_or("and an array of characters takes text in quotes")?;
            // Text that is too long is cut, and always ends with a NUL.
            let room = place.len().saturating_sub(1);
            for (byte, letter) in place.iter_mut().zip(text.bytes().take(room)) {
                *byte = letter;
            }
        }
        _ => {
            return Err(
                "and its type is none of _Bool, char, enum libbpf_tristate, an integer \
                        and an array of char",
            );
        }
    }
    Ok(())
}

/// What `bpf_helpers.h` calls the type of what is built in, a module, or not there.
const TRISTATE: &str = "libbpf_tristate";

fn parse_number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Writes the low bytes of a number.
fn put(place: &mut [u8], number: u64, endian: Endian) {
    let len = place.len();
    for (position, byte) in number.to_le_bytes().into_iter().enumerate().take(len) {
        let at = match endian {
            Endian::Little => position,
            Endian::Big => len.saturating_sub(position).saturating_sub(1),
        };
        if let Some(place) = place.get_mut(at) {
            *place = byte;
        }
    }
}
