//! What of a map's value, or of an object that a program allocates, the kernel manages: locks,
//! timers, kernel pointers, lists and trees.

#[cfg(test)]
mod tests;

use skep_btf::{Btf, Kind, KindTag, Type, TypeId};

/// Most managed fields of a type (`BTF_FIELDS_MAX`).
const MOST: usize = 11;
/// Most structures and arrays in each other (`MAX_RESOLVE_DEPTH`).
const DEEPEST: u32 = 32;
/// The most members that are looked at: structures in structures may have more than can be counted.
const MOST_MEMBERS: u32 = 100_000;

/// The managed fields of a type, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields.
    pub fields: Vec<Field>,
    /// Why the kernel does not take the type: what is wrong with its managed fields.
    pub problem: Option<String>,
}

/// One managed field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the value.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
    /// What it is.
    pub kind: FieldKind,
}

/// What a managed field is: the kernel's `enum btf_field_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// `struct bpf_spin_lock`.
    SpinLock,
    /// `struct bpf_res_spin_lock`.
    ResilientSpinLock,
    /// `struct bpf_timer`.
    Timer,
    /// `struct bpf_wq`.
    Workqueue,
    /// `struct bpf_task_work`.
    TaskWork,
    /// `struct bpf_refcount`.
    Refcount,
    /// A kernel pointer (`__kptr` and its kin), to the struct with this name.
    KernelPointer {
        /// The pointee in the BTF of the value.
        pointee: TypeId,
        /// `__kptr_untrusted`: not owned.
        untrusted: bool,
        /// `__percpu_kptr`.
        percpu: bool,
        /// `__uptr`: a page of user memory.
        user: bool,
    },
    /// `struct bpf_list_head`, of objects of a type, linked by their node at an offset.
    ListHead {
        /// The type of the objects, in the BTF of the value.
        object: TypeId,
        /// Where their node is.
        node: u32,
    },
    /// `struct bpf_list_node`.
    ListNode,
    /// `struct bpf_rb_root`, as a list's head.
    TreeRoot {
        /// The type of the objects, in the BTF of the value.
        object: TypeId,
        /// Where their node is.
        node: u32,
    },
    /// `struct bpf_rb_node`.
    TreeNode,
}

impl FieldKind {
    /// Bytes that it takes and that its address is a multiple of.
    fn layout(&self) -> (u32, u32) {
        match self {
            Self::SpinLock | Self::ResilientSpinLock | Self::Refcount => (4, 4),
            Self::Timer | Self::Workqueue | Self::ListHead { .. } | Self::TreeRoot { .. } => {
                (16, 8)
            }
            Self::TaskWork | Self::KernelPointer { .. } => (8, 8),
            Self::ListNode => (24, 8),
            Self::TreeNode => (32, 8),
        }
    }

    /// Whether an array of it may be in a type.
    fn repeats(&self) -> bool {
        matches!(
            self,
            Self::KernelPointer { .. } | Self::ListHead { .. } | Self::TreeRoot { .. }
        )
    }

    /// Whether a type may have only one of it.
    fn is_single(&self) -> bool {
        matches!(
            self,
            Self::SpinLock
                | Self::ResilientSpinLock
                | Self::Timer
                | Self::Workqueue
                | Self::TaskWork
                | Self::Refcount
        )
    }
}

impl Fields {
    /// The managed fields of a type: of a struct, or of a data section (the value of the map that
    /// holds global variables). What the kernel does not take is said in [`Self::problem`].
    pub fn of(btf: &Btf, type_id: TypeId) -> Self {
        let mut found = Self::default();
        found.problem = found.search(btf, type_id).err();
        found.fields.sort_by_key(|field| field.offset);
        if found.problem.is_none() {
            found.problem = found.conflict();
        }
        found
    }

    fn search(&mut self, btf: &Btf, type_id: TypeId) -> Result<(), String> {
        let Ok(of) = btf.type_by_id(type_id) else {
            return Ok(());
        };
        match of.kind() {
            Kind::Struct(_) => self.search_struct(btf, of, 0, 0, &mut 0),
            Kind::DataSection(section) => {
                let mut looked = 0;
                for entry in section.entries() {
                    let Ok(variable) = btf.type_by_id(entry.type_id) else {
                        continue;
                    };
                    let Kind::Variable(var) = variable.kind() else {
                        continue;
                    };
                    let place = Place {
                        holder: variable,
                        member: None,
                        offset: entry.offset,
                        size: Some(entry.size),
                    };
                    self.search_one(btf, var.type_id, &place, 0, &mut looked)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn search_struct(
        &mut self,
        btf: &Btf,
        of: Type<'_>,
        base: u32,
        depth: u32,
        looked: &mut u32,
    ) -> Result<(), String> {
        let Kind::Struct(composite) = of.kind() else {
            return Ok(());
        };
        for (index, member) in (0..).zip(composite.members()) {
            let place = Place {
                holder: of,
                member: Some(index),
                offset: base.saturating_add(member.bit_offset / 8),
                size: None,
            };
            if member.bit_offset.is_multiple_of(8) {
                self.search_one(btf, member.type_id, &place, depth, looked)?;
            }
        }
        Ok(())
    }

    /// Looks at one member or variable: a managed field, a struct that may have some, or an array
    /// of either.
    fn search_one(
        &mut self,
        btf: &Btf,
        type_id: TypeId,
        place: &Place<'_>,
        depth: u32,
        looked: &mut u32,
    ) -> Result<(), String> {
        *looked += 1;
        if *looked > MOST_MEMBERS {
            return Err(format!("the type has more than {MOST_MEMBERS} members"));
        }
        let Ok(mut of) = btf.type_by_id(type_id) else {
            return Ok(());
        };
        let mut count = 1_u32;
        for _ in 0..DEEPEST {
            let Kind::Array(array) = of.kind() else { break };
            count = count.saturating_mul(array.len);
            match btf.type_by_id(array.element) {
                Ok(element) => of = element,
                Err(_) => return Ok(()),
            }
        }
        if count == 0 {
            return Ok(());
        }
        let before = self.fields.len();
        let element_size;
        if let Some(kind) = managed(btf, of, place)? {
            let (size, align) = kind.layout();
            let fits = place
                .size
                .is_none_or(|whole| whole == size.saturating_mul(count));
            if !fits || !place.offset.is_multiple_of(align) {
                return Ok(());
            }
            if let Kind::Struct(composite) = of.kind()
                && composite.size != size
            {
                return Ok(());
            }
            if kind.is_single() && self.fields.iter().any(|field| field.kind == kind) {
                return Err(format!("the type has more than one {}", of.name()));
            }
            element_size = size;
            self.fields.push(Field {
                offset: place.offset,
                size,
                kind,
            });
        } else if let Kind::Struct(composite) = of.kind() {
            element_size = composite.size;
            let whole = element_size.saturating_mul(count);
            if place.size.is_some_and(|size| size != whole) {
                return Ok(());
            }
            if depth + 1 >= DEEPEST {
                return Err("structures are nested too deep to look for managed fields".into());
            }
            self.search_struct(btf, of, place.offset, depth + 1, looked)?;
        } else {
            return Ok(());
        }
        self.repeat(before, count, element_size)
    }

    /// Repeats the fields that were found in an array's first element in the others.
    fn repeat(&mut self, first: usize, count: u32, element_size: u32) -> Result<(), String> {
        let element = self.fields.get(first..).unwrap_or_default().to_vec();
        if element.is_empty() {
            return Ok(());
        }
        if count > 1 && !element.iter().all(|field| field.kind.repeats()) {
            return Err("only kernel pointers, list heads and tree roots can be in arrays".into());
        }
        let all = (element.len() as u64).saturating_mul(count.into());
        if all.saturating_add(first as u64) > MOST as u64 {
            return Err(format!("the type has more than {MOST} managed fields"));
        }
        for index in 1..count {
            let shift = index.saturating_mul(element_size);
            self.fields
                .extend(element.iter().cloned().map(|field| Field {
                    offset: field.offset.saturating_add(shift),
                    ..field
                }));
        }
        Ok(())
    }

    /// What is wrong with the fields that were found, taken together.
    fn conflict(&self) -> Option<String> {
        let has = |is: fn(&FieldKind) -> bool| self.find(is).is_some();
        let spin = has(|kind| matches!(kind, FieldKind::SpinLock));
        let resilient = has(|kind| matches!(kind, FieldKind::ResilientSpinLock));
        let root = has(|kind| {
            matches!(
                kind,
                FieldKind::ListHead { .. } | FieldKind::TreeRoot { .. }
            )
        });
        let nodes = has(|kind| matches!(kind, FieldKind::ListNode))
            && has(|kind| matches!(kind, FieldKind::TreeNode));
        if spin && resilient {
            Some("the type has both a bpf_spin_lock and a bpf_res_spin_lock".into())
        } else if root && !spin && !resilient {
            Some("a list or tree needs a bpf_spin_lock in the same value".into())
        } else if nodes && !has(|kind| matches!(kind, FieldKind::Refcount)) {
            Some("an object that is in a list and in a tree needs a bpf_refcount".into())
        } else {
            None
        }
    }

    /// The field that begins at an offset.
    pub fn at(&self, offset: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.offset == offset)
    }

    /// The first field of a kind.
    pub fn find(&self, is: impl Fn(&FieldKind) -> bool) -> Option<&Field> {
        self.fields.iter().find(|field| is(&field.kind))
    }

    /// The first field that shares bytes with a range.
    pub fn overlapping(&self, offset: u32, size: u32) -> Option<&Field> {
        self.fields.iter().find(|field| {
            field.offset < offset.saturating_add(size)
                && offset < field.offset.saturating_add(field.size)
        })
    }
}

/// Where a member or variable stands.
struct Place<'b> {
    /// The struct that it is a member of, or the variable.
    holder: Type<'b>,
    member: Option<u32>,
    offset: u32,
    /// Its bytes, where they are said apart from its type.
    size: Option<u32>,
}

/// What a type is as a managed field, if it is one.
fn managed(btf: &Btf, of: Type<'_>, place: &Place<'_>) -> Result<Option<FieldKind>, String> {
    match of.kind() {
        Kind::Struct(_) => Ok(Some(match of.name() {
            "bpf_spin_lock" => FieldKind::SpinLock,
            "bpf_res_spin_lock" => FieldKind::ResilientSpinLock,
            "bpf_timer" => FieldKind::Timer,
            "bpf_wq" => FieldKind::Workqueue,
            "bpf_task_work" => FieldKind::TaskWork,
            "bpf_refcount" => FieldKind::Refcount,
            "bpf_list_node" => FieldKind::ListNode,
            "bpf_rb_node" => FieldKind::TreeNode,
            "bpf_list_head" => {
                let (object, node) = contents(btf, place, "bpf_list_node")?;
                FieldKind::ListHead { object, node }
            }
            "bpf_rb_root" => {
                let (object, node) = contents(btf, place, "bpf_rb_node")?;
                FieldKind::TreeRoot { object, node }
            }
            _ => return Ok(None),
        })),
        Kind::Volatile { target } => match btf.type_by_id(target).map(|of| of.kind()) {
            Ok(Kind::Pointer { target }) => kernel_pointer(btf, target),
            _ => Ok(None),
        },
        Kind::Pointer { target } => kernel_pointer(btf, target),
        _ => Ok(None),
    }
}

/// A pointer to a type as a managed field, if tags say so.
fn kernel_pointer(btf: &Btf, target: TypeId) -> Result<Option<FieldKind>, String> {
    let Ok(tag) = btf.type_by_id(target) else {
        return Ok(None);
    };
    let Kind::TypeTag { target, .. } = tag.kind() else {
        return Ok(None);
    };
    let second = btf.type_by_id(target).ok().and_then(|of| of.tag());
    if second == Some(KindTag::TypeTag) {
        return Err(format!("a pointer has another tag beside `{}`", tag.name()));
    }
    let (untrusted, percpu, user) = match tag.name() {
        "kptr" => (false, false, false),
        "kptr_untrusted" => (true, false, false),
        "percpu_kptr" => (false, true, false),
        "uptr" => (false, false, true),
        other => {
            return Err(format!(
                "no kernel knows pointers with the tag `{other}` in maps"
            ));
        }
    };
    match btf.skip_modifiers(target) {
        Ok(pointee) if pointee.tag() == Some(KindTag::Struct) => {
            Ok(Some(FieldKind::KernelPointer {
                pointee: pointee.id(),
                untrusted,
                percpu,
                user,
            }))
        }
        _ => Err(format!(
            "a pointer with the tag `{}` points to no struct",
            tag.name()
        )),
    }
}

/// The type of a list's or tree's objects and where their node is, of its tag
/// `contains:object:node`.
fn contents(btf: &Btf, place: &Place<'_>, node_type: &str) -> Result<(TypeId, u32), String> {
    let mut tags = btf
        .decl_tags(place.holder.id(), place.member)
        .filter_map(|tag| tag.strip_prefix("contains:"));
    let tag = tags
        .next()
        .ok_or("a list or tree needs a tag that says what it contains")?;
    if tags.next().is_some() {
        return Err("a list or tree has two tags that say what it contains".into());
    }
    let wrong = || format!("`contains:{tag}` names no struct with such a node");
    let (object, node) = tag.split_once(':').ok_or_else(wrong)?;
    let object = btf.find(object, KindTag::Struct).ok_or_else(wrong)?;
    let Ok(Kind::Struct(composite)) = btf.type_by_id(object).map(|of| of.kind()) else {
        return Err(wrong());
    };
    let member = composite
        .members()
        .into_iter()
        .find(|member| member.name() == node);
    let member = member.ok_or_else(wrong)?;
    let of = btf.type_by_id(member.type_id).map_err(|_| wrong())?;
    let offset = member.bit_offset / 8;
    if of.tag() != Some(KindTag::Struct) || of.name() != node_type || !offset.is_multiple_of(8) {
        return Err(wrong());
    }
    Ok((object, offset))
}
