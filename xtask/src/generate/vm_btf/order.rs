//! Types in an order of their own: by kind and name, each followed by what it refers to. Compilers
//! agree on what they say of a source, but not on where they say it.

use std::collections::BTreeMap;

use skep_btf::{Btf, Builder, FunctionLinkage, Kind, KindTag, NewMember, NewType, Type, TypeId};

use crate::Result;

/// The union in `vm.c` that holds what is to be published.
const PUBLISHED: &str = "vm_published";

/// The types of `btf`, without variables, sections of them and [`PUBLISHED`], as new BTF.
///
/// Functions get static linkage, as a kernel's have.
pub(super) fn in_order(btf: &Btf) -> Result<Vec<u8>> {
    let mut order = Order::default();
    for root in roots(btf) {
        order.visit(btf, root.id())?;
    }
    let mut tags = Vec::new();
    for found in btf.types() {
        if let Kind::DeclTag(tag) = found.kind()
            && let Some(target) = order.new_ids.get(&tag.target)
        {
            tags.push((*target, tag.component, found.name()));
        }
    }
    tags.sort_unstable();

    let mut builder = Builder::new();
    for id in &order.old_ids {
        copy(&mut builder, btf.type_by_id(*id)?, &order)?;
    }
    for (target, component, name) in tags {
        builder.add(NewType::DeclTag {
            name,
            target,
            component,
            attribute: false,
        });
    }
    Ok(builder.build()?)
}

/// The types with a name, by kind and name.
fn roots(btf: &Btf) -> Vec<Type<'_>> {
    let unwanted = |tag| {
        matches!(
            tag,
            Some(KindTag::Variable | KindTag::DataSection | KindTag::DeclTag)
        )
    };
    let mut roots: Vec<_> = btf
        .types()
        .filter(|found| !found.name().is_empty() && found.name() != PUBLISHED)
        .filter(|found| !unwanted(found.tag()))
        .collect();
    roots.sort_by_key(|found| (found.tag(), found.name()));
    roots
}

/// Where types go.
#[derive(Default)]
struct Order {
    /// Old ids in the new order.
    old_ids: Vec<TypeId>,
    new_ids: BTreeMap<TypeId, TypeId>,
}

impl Order {
    /// Places a type and what it refers to, if they have no place yet.
    fn visit(&mut self, btf: &Btf, id: TypeId) -> Result<()> {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            if id == TypeId::VOID || self.new_ids.contains_key(&id) {
                continue;
            }
            self.old_ids.push(id);
            let new = TypeId(u32::try_from(self.old_ids.len())?);
            self.new_ids.insert(id, new);
            let mut next = references(btf.type_by_id(id)?)?;
            next.reverse();
            waiting.append(&mut next);
        }
        Ok(())
    }

    fn new_id(&self, old: TypeId) -> TypeId {
        // All that a placed type refers to is placed, but `void`.
        self.new_ids.get(&old).copied().unwrap_or(TypeId::VOID)
    }
}

/// What a type refers to, in the order it does.
fn references(found: Type<'_>) -> Result<Vec<TypeId>> {
    Ok(match found.kind() {
        Kind::Int(_) | Kind::Enum(_) | Kind::Forward { .. } => Vec::new(),
        Kind::Pointer { target }
        | Kind::Typedef { target }
        | Kind::Const { target }
        | Kind::Volatile { target } => vec![target],
        Kind::Array(array) => vec![array.element, array.index],
        Kind::Struct(composite) | Kind::Union(composite) => {
            composite.members().map(|m| m.type_id).collect()
        }
        Kind::Function(function) => vec![function.prototype],
        Kind::FunctionPrototype(prototype) => std::iter::once(prototype.return_type)
            .chain(prototype.params().map(|p| p.type_id))
            .collect(),
        _ => return Err(unexpected(found)),
    })
}

fn copy(builder: &mut Builder, found: Type<'_>, order: &Order) -> Result<()> {
    let name = found.name();
    match found.kind() {
        Kind::Int(int) => builder.add(NewType::Int {
            name,
            size: int.size,
            bits: int.bits,
            offset: int.offset,
            encoding: int.encoding,
        }),
        Kind::Forward { union } => builder.add(NewType::Forward { name, union }),
        Kind::Enum(of) => {
            let values: Vec<_> = of.values().map(|v| (v.name(), v.value as i64)).collect();
            builder.add(NewType::Enum {
                name,
                size: of.size,
                signed: of.signed,
                values: &values,
            })
        }
        Kind::Pointer { target } => builder.pointer(order.new_id(target)),
        Kind::Typedef { target } => builder.typedef(name, order.new_id(target)),
        Kind::Const { target } => builder.add(NewType::Const {
            target: order.new_id(target),
        }),
        Kind::Volatile { target } => builder.add(NewType::Volatile {
            target: order.new_id(target),
        }),
        Kind::Array(array) => builder.array(
            order.new_id(array.element),
            order.new_id(array.index),
            array.len,
        ),
        Kind::Struct(composite) | Kind::Union(composite) => {
            let members: Vec<_> = composite
                .members()
                .map(|m| NewMember {
                    bitfield_size: m.bitfield_size,
                    ..NewMember::new(m.name(), order.new_id(m.type_id), m.bit_offset)
                })
                .collect();
            if matches!(found.tag(), Some(KindTag::Struct)) {
                builder.structure(name, composite.size, &members)
            } else {
                builder.union(name, composite.size, &members)
            }
        }
        Kind::Function(function) => builder.function(
            name,
            order.new_id(function.prototype),
            FunctionLinkage::Static,
        ),
        Kind::FunctionPrototype(prototype) => {
            let params: Vec<_> = prototype
                .params()
                .map(|p| (p.name(), order.new_id(p.type_id)))
                .collect();
            builder.prototype(order.new_id(prototype.return_type), &params)
        }
        _ => return Err(unexpected(found)),
    };
    Ok(())
}

fn unexpected(found: Type<'_>) -> Box<dyn std::error::Error> {
    format!("vm.c has a type of a kind that is not provided for: {found:?}").into()
}
