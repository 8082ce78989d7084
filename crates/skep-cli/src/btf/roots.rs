//! Types by the names that users give, and the types that those need.

use std::collections::BTreeSet;

use skep::btf::{Btf, Kind, KindTag, TypeId};

use crate::exit::Usage;

/// The types of these names. With `definable`, only those that C can define.
pub(super) fn find(btf: &Btf, names: &[String], definable: bool) -> anyhow::Result<Vec<TypeId>> {
    let mut roots = Vec::new();
    for wanted in names {
        let (kind, name) = split(wanted.trim());
        let fits = |id: &TypeId| {
            let tag = btf.type_by_id(*id).ok().and_then(|found| found.tag());
            tag.is_some_and(|tag| fits(tag, kind) && (!definable || can_be_defined(tag)))
        };
        let before = roots.len();
        roots.extend(btf.find_by_name(name).filter(fits));
        if roots.len() == before {
            return Err(Usage(unknown(btf, wanted, name)).into());
        }
    }
    Ok(roots)
}

/// `struct task_struct` as a kind and a name.
fn split(wanted: &str) -> (Option<&str>, &str) {
    match wanted.split_once(char::is_whitespace) {
        Some((kind, name)) => (Some(kind), name.trim_start()),
        None => (None, wanted),
    }
}

fn fits(tag: KindTag, kind: Option<&str>) -> bool {
    match kind {
        None => true,
        Some("struct") => tag == KindTag::Struct,
        Some("union") => tag == KindTag::Union,
        Some("enum") => matches!(tag, KindTag::Enum | KindTag::Enum64),
        Some("typedef") => tag == KindTag::Typedef,
        Some(other) => tag.kernel_name().eq_ignore_ascii_case(other),
    }
}

fn can_be_defined(tag: KindTag) -> bool {
    matches!(
        tag,
        KindTag::Struct
            | KindTag::Union
            | KindTag::Enum
            | KindTag::Enum64
            | KindTag::Typedef
            | KindTag::Forward
    )
}

fn unknown(btf: &Btf, wanted: &str, name: &str) -> String {
    let names = btf
        .types()
        .map(|one| one.name())
        .filter(|name| !name.is_empty());
    let near = skep::abi::near_names(name, names);
    let mut said = format!("there is no type `{wanted}`");
    if !near.is_empty() {
        let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        said.push_str(&format!("; did you mean {}?", near.join(" or ")));
    }
    said
}

/// These types and all that they refer to, by id.
pub(super) fn with_needed(btf: &Btf, roots: Vec<TypeId>) -> anyhow::Result<BTreeSet<TypeId>> {
    let mut found = BTreeSet::new();
    let mut waiting = roots;
    while let Some(id) = waiting.pop() {
        if id != TypeId::default() && found.insert(id) {
            needs(btf.type_by_id(id)?.kind(), &mut waiting);
        }
    }
    Ok(found)
}

/// The types that one refers to.
fn needs(kind: Kind<'_>, out: &mut Vec<TypeId>) {
    match kind {
        Kind::Pointer { target }
        | Kind::Typedef { target }
        | Kind::Volatile { target }
        | Kind::Const { target }
        | Kind::Restrict { target }
        | Kind::TypeTag { target, .. } => out.push(target),
        Kind::Array(array) => out.extend([array.element, array.index]),
        Kind::Struct(composite) | Kind::Union(composite) => {
            out.extend(composite.members().map(|member| member.type_id));
        }
        Kind::Function(function) => out.push(function.prototype),
        Kind::FunctionPrototype(prototype) => {
            out.push(prototype.return_type);
            out.extend(prototype.params().map(|parameter| parameter.type_id));
        }
        Kind::Variable(variable) => out.push(variable.type_id),
        Kind::DataSection(section) => {
            out.extend(section.entries().map(|entry| entry.type_id));
        }
        Kind::DeclTag(tag) => out.push(tag.target),
        _ => {}
    }
}
