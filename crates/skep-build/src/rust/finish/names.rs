//! Names: what Rust calls `HashMap<u32, u64>` is called `HashMap_u32_u64` in BTF, as kernels take
//! only what C could name.

use skep_btf::{Btf, Builder, Kind, KindTag, NewType, TypeId};
use skep_object::{ObjectFile, Result};

pub(super) fn run(file: &mut ObjectFile) -> Result<()> {
    parameters(&mut file.types)?;
    Ok(file.types.rename_all(|kind, name| match kind {
        // Files name sections, and kernels take most names.
        KindTag::DataSection => None,
        // The text of tags is for those who read them.
        KindTag::DeclTag | KindTag::TypeTag => None,
        // C has integers of several words (`unsigned int`), and types are compared by their names.
        KindTag::Int => None,
        KindTag::Function => function(name),
        _ => valid(name),
    })?)
}

/// Parameters that are patterns (`_`) have no name, which kernels ask for in functions.
fn parameters(types: &mut Builder) -> Result<()> {
    let btf = Btf::parse(types.build()?)?;
    for found in btf.types() {
        let Kind::FunctionPrototype(prototype) = found.kind() else {
            continue;
        };
        let params: Vec<_> = prototype
            .params()
            .map(|param| (param.name(), param.type_id))
            .collect();
        let unnamed =
            |&(name, type_id): &(&str, TypeId)| name.is_empty() && type_id != TypeId::VOID;
        if !params.iter().any(unnamed) {
            continue;
        }
        let numbered: Vec<String> = (1..=params.len()).map(|n| format!("arg{n}")).collect();
        let params: Vec<(&str, TypeId)> = params
            .iter()
            .zip(&numbered)
            .map(|(param, number)| {
                let name = if unnamed(param) { number } else { param.0 };
                (name, param.1)
            })
            .collect();
        let return_type = prototype.return_type;
        types.replace(
            found.id(),
            NewType::FunctionPrototype {
                return_type,
                params: &params,
            },
        )?;
    }
    Ok(())
}

/// The kernel's `KSYM_NAME_LEN` of before 6.1, without the NUL.
const LONGEST: usize = 127;

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Functions go without what they are generic over: the line of source says which it is.
fn function(name: &str) -> Option<String> {
    match name.split_once('<') {
        Some((plain, _)) if !plain.is_empty() => Some(valid(plain).unwrap_or(plain.to_owned())),
        _ => valid(name),
    }
}

/// A name that says the same in C's letters, unless it is one that C could have.
fn valid(name: &str) -> Option<String> {
    let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
    if starts_well && name.len() <= LONGEST && name.bytes().all(is_letter) {
        return None;
    }
    let mut valid = String::new();
    // What would be nothing, or the name of something else.
    if name == "()" {
        return Some("unit".to_owned());
    }
    let mut rest = name;
    for (start, word) in [("&[", "slice_"), ("&mut [", "slice_mut_"), ("(", "tuple_")] {
        if let Some(inner) = name.strip_prefix(start) {
            valid += word;
            rest = inner;
        }
    }
    let mut gap = false;
    for c in rest.chars() {
        let fits = u8::try_from(c).is_ok_and(is_letter);
        if fits {
            if gap && !valid.is_empty() && !valid.ends_with('_') {
                valid.push('_');
            }
            valid.push(c);
        }
        gap = !fits;
    }
    if valid.is_empty() || valid.starts_with(|c: char| c.is_ascii_digit()) {
        valid.insert(0, '_');
    }
    valid.truncate(LONGEST);
    Some(valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_names() {
        let mut types = Builder::new();
        let int = types.int("i32", 4, skep_btf::IntEncoding::SIGNED);
        let params = [("", int), ("key", int), ("", TypeId::VOID)];
        let id = types.prototype(int, &params);
        parameters(&mut types).unwrap();
        let btf = Btf::parse(types.build().unwrap()).unwrap();
        let Kind::FunctionPrototype(prototype) = btf.type_by_id(id).unwrap().kind() else {
            panic!("a prototype")
        };
        let names: Vec<_> = prototype.params().map(|param| param.name()).collect();
        assert_eq!(names, ["arg1", "key", ""]);
    }

    #[test]
    fn names_of_rust_in_letters_of_c() {
        for (rust, c) in [
            ("task_struct", "task_struct"),
            ("__ARRAY_SIZE_TYPE__", "__ARRAY_SIZE_TYPE__"),
            ("HashMap<u32, u64, 16>", "HashMap_u32_u64_16"),
            ("Option<&u64>", "Option_u64"),
            ("&[u8]", "slice_u8"),
            ("&mut [u8]", "slice_mut_u8"),
            ("(u32, bool)", "tuple_u32_bool"),
            ("&str", "str"),
            ("()", "unit"),
            ("{closure_env#0}<u32>", "closure_env_0_u32"),
            ("größe", "gr_e"),
            ("!", "_"),
            ("0", "_0"),
        ] {
            assert_eq!(valid(rust).as_deref().unwrap_or(rust), c, "{rust}");
        }
        assert_eq!(function("read<u32>").as_deref(), Some("read"));
        assert_eq!(function("{closure#0}<u32>").as_deref(), Some("closure_0"));
        assert_eq!(valid(&"x".repeat(200)), Some("x".repeat(LONGEST)));
    }
}
