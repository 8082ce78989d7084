//! What of a map's value, or of an object that a program allocates, a kernel manages: locks, timers,
//! kernel pointers, lists and trees. Where such fields are, and what a kernel does not take.

use crate::{Btf, Kind, KindTag, Type, TypeId};

/// Most managed fields of a type (`BTF_FIELDS_MAX`).
const MOST: usize = 11;
/// Most structures and arrays in each other (`MAX_RESOLVE_DEPTH`).
const DEEPEST: u32 = 32;

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

/// Structures that are managed fields. What lists and trees contain is found out later.
const NAMED: [(&str, FieldKind); 10] = [
    ("bpf_spin_lock", FieldKind::SpinLock),
    ("bpf_res_spin_lock", FieldKind::ResilientSpinLock),
    ("bpf_timer", FieldKind::Timer),
    ("bpf_wq", FieldKind::Workqueue),
    ("bpf_task_work", FieldKind::TaskWork),
    ("bpf_refcount", FieldKind::Refcount),
    ("bpf_list_node", FieldKind::ListNode),
    ("bpf_rb_node", FieldKind::TreeNode),
    (
        "bpf_list_head",
        FieldKind::ListHead {
            object: TypeId::VOID,
            node: 0,
        },
    ),
    (
        "bpf_rb_root",
        FieldKind::TreeRoot {
            object: TypeId::VOID,
            node: 0,
        },
    ),
];

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

    /// The structure that it is; of pointers `""`.
    pub fn type_name(&self) -> &'static str {
        let same =
            |known: &FieldKind| std::mem::discriminant(known) == std::mem::discriminant(self);
        let found = NAMED.iter().find(|(_, known)| same(known));
        found.map_or("", |(name, _)| name)
    }

    /// Whether an array of it may be in a type.
    fn repeats(&self) -> bool {
        matches!(self, Self::KernelPointer { .. }) || self.is_root()
    }

    /// Whether a type has only one of it that counts.
    pub fn is_single(&self) -> bool {
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

    /// Whether it owns objects: a list or a tree.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::ListHead { .. } | Self::TreeRoot { .. })
    }

    /// Whether the object that it is in can be in a list or tree.
    pub fn is_node(&self) -> bool {
        matches!(self, Self::ListNode | Self::TreeNode)
    }
}

/// Whose fields are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A map's value, or a section of variables: all that there are.
    Value,
    /// An object that programs allocate: neither timers and work nor user memory.
    Object,
}

impl Holder {
    fn has(self, kind: &FieldKind) -> bool {
        let of_values = matches!(
            kind,
            FieldKind::Timer
                | FieldKind::Workqueue
                | FieldKind::TaskWork
                | FieldKind::KernelPointer { user: true, .. }
        );
        self == Self::Value || !of_values
    }
}

/// What is wrong with the managed fields of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// More members than anybody should look at.
    #[error("the type has more members than are looked at")]
    Members,
    /// Two of what there may be one of.
    #[error("the type has more than one {name}")]
    Twice {
        /// Its name.
        name: String,
    },
    /// More than 32 structures in each other.
    #[error("structures are nested too deep to look for managed fields")]
    Deep,
    /// A bit field that begins in a byte.
    #[error("a member is between two bytes")]
    Bits,
    /// An array of what can't be in one.
    #[error("only kernel pointers, list heads and tree roots can be in arrays")]
    Repeated,
    /// More than 11.
    #[error("the type has more than {MOST} managed fields")]
    Many,
    /// Two that share bytes.
    #[error("two managed fields overlap")]
    Overlap,
    /// Two kinds of locks.
    #[error("the type has both a bpf_spin_lock and a bpf_res_spin_lock")]
    TwoLocks,
    /// No lock for a list or tree.
    #[error("a list or tree needs a bpf_spin_lock in the same value")]
    NoLock,
    /// No count of who has the object.
    #[error("an object that is in a list and in a tree needs a bpf_refcount")]
    NoRefcount,
    /// A pointer with two tags.
    #[error("a pointer has another tag beside `{tag}`")]
    Tags {
        /// The first.
        tag: String,
    },
    /// A pointer with an unknown tag.
    #[error("no kernel knows pointers with the tag `{tag}` in maps")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// A tagged pointer to something else.
    #[error("a pointer with the tag `{tag}` points to no struct")]
    Pointee {
        /// The tag.
        tag: String,
    },
    /// A list or tree without a tag `contains:…`.
    #[error("a list or tree needs a tag that says what it contains")]
    Untagged,
    /// A list or tree with two of them.
    #[error("a list or tree has two tags that say what it contains")]
    TwoContents,
    /// The tag is not `contains:struct:member`, or the member is no such node.
    #[error("`contains:{tag}` names no struct with such a node")]
    Contents {
        /// The rest of the tag.
        tag: String,
    },
    /// There is no such struct or member.
    #[error("`contains:{tag}` names no struct with such a node")]
    NoContents {
        /// The rest of the tag.
        tag: String,
    },
    /// A member of a special type that is not where, or as large as, it must be; or an object
    /// whose node is none.
    #[error("a managed field is not as a kernel has it")]
    Unlike,
    /// What is owned and owns something that owns something.
    #[error("an object in lists or trees owns one that owns others")]
    Owns,
}

/// The managed fields of a type, in the order in which they are found: of a struct, or of a data
/// section (the value of the map that holds global variables); and what is wrong with them. `members`
/// is how many may be looked at, as structures in structures can have more than can be counted; those
/// that were are taken off.
pub fn fields(
    btf: &Btf,
    type_id: TypeId,
    holder: Holder,
    members: &mut u32,
) -> (Vec<Field>, Option<Problem>) {
    let mut search = Search {
        btf,
        holder,
        members,
        found: Vec::new(),
    };
    let outcome = search.of(type_id).and_then(|()| search.settle());
    let fields = search.found.into_iter().map(|found| found.field);
    (fields.collect(), outcome.err())
}

struct Search<'b, 'm> {
    btf: &'b Btf,
    holder: Holder,
    members: &'m mut u32,
    found: Vec<Found<'b>>,
}

#[derive(Clone)]
struct Found<'b> {
    field: Field,
    /// What the tag of a list or tree says behind `contains:`.
    contains: Option<&'b str>,
}

/// Where a member or variable stands.
struct Place<'b> {
    /// The struct that it is a member of, or the variable.
    holder: Type<'b>,
    member: Option<u32>,
    /// From the start of the struct or section.
    offset: u32,
    /// Its bytes, where they are said apart from its type.
    size: Option<u32>,
}

impl<'b> Search<'b, '_> {
    fn of(&mut self, type_id: TypeId) -> Result<(), Problem> {
        let Ok(of) = self.btf.type_by_id(type_id) else {
            return Ok(());
        };
        match of.kind() {
            Kind::Struct(_) => self.in_struct(of, 0),
            Kind::DataSection(section) => {
                let mut seen = Vec::new();
                for entry in section.entries() {
                    let Ok(variable) = self.btf.type_by_id(entry.type_id) else {
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
                    self.one(var.type_id, &place, 0, &mut seen)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn in_struct(&mut self, of: Type<'b>, depth: u32) -> Result<(), Problem> {
        let Kind::Struct(composite) = of.kind() else {
            return Ok(());
        };
        // What there may be one of, by the name of its type; structures inside are others.
        let mut seen = Vec::new();
        for (index, member) in (0..).zip(composite.members()) {
            if !member.bit_offset.is_multiple_of(8) {
                return Err(Problem::Bits);
            }
            let place = Place {
                holder: of,
                member: Some(index),
                offset: member.bit_offset / 8,
                size: None,
            };
            self.one(member.type_id, &place, depth, &mut seen)?;
        }
        Ok(())
    }

    /// Looks at one member or variable: a managed field, a struct that may have some, or an array
    /// of either.
    fn one(
        &mut self,
        type_id: TypeId,
        place: &Place<'b>,
        depth: u32,
        seen: &mut Vec<&'b str>,
    ) -> Result<(), Problem> {
        *self.members = self.members.checked_sub(1).ok_or(Problem::Members)?;
        let Ok(mut of) = self.btf.type_by_id(type_id) else {
            return Ok(());
        };
        let mut count = 1_u32;
        for _ in 0..DEEPEST {
            let Kind::Array(array) = of.kind() else { break };
            count = count.saturating_mul(array.len);
            match self.btf.type_by_id(array.element) {
                Ok(element) => of = element,
                Err(_) => return Ok(()),
            }
        }
        if count == 0 {
            return Ok(());
        }
        let before = self.found.len();
        let fits = |size: u32| {
            let whole = size.saturating_mul(count);
            place.size.is_none_or(|found| found == whole)
        };
        let named = NAMED.iter().find(|(name, _)| *name == of.name());
        let named = named.map(|(_, kind)| kind);
        let named = named.filter(|kind| self.holder.has(kind));
        // A kernel does not mind several counts.
        if named.is_some_and(|kind| kind.is_single() && *kind != FieldKind::Refcount) {
            if seen.contains(&of.name()) {
                let name = of.name().to_owned();
                return Err(Problem::Twice { name });
            }
            seen.push(of.name());
        }
        let element = match (named, of.kind()) {
            (None, Kind::Struct(composite)) => {
                if !fits(composite.size) {
                    return Ok(());
                }
                let depth = depth.saturating_add(1);
                if depth >= DEEPEST {
                    return Err(Problem::Deep);
                }
                self.in_struct(of, depth)?;
                for found in self.found.iter_mut().skip(before) {
                    found.field.offset = found.field.offset.saturating_add(place.offset);
                }
                composite.size
            }
            _ => {
                let (size, align) = named.map_or((8, 8), FieldKind::layout);
                if !fits(size) || !place.offset.is_multiple_of(align) {
                    return Ok(());
                }
                let Some((kind, contains)) = self.field(named, of, place)? else {
                    return Ok(());
                };
                if before >= MOST {
                    return Err(Problem::Many);
                }
                let field = Field {
                    offset: place.offset,
                    size,
                    kind,
                };
                self.found.push(Found { field, contains });
                size
            }
        };
        self.repeat(before, count, element)
    }

    /// What a type is as a managed field, if it is one.
    fn field(
        &self,
        named: Option<&FieldKind>,
        of: Type<'b>,
        place: &Place<'b>,
    ) -> Result<Option<(FieldKind, Option<&'b str>)>, Problem> {
        let Some(named) = named else {
            let pointer = kernel_pointer(self.btf, self.holder, of)?;
            return Ok(pointer.map(|kind| (kind, None)));
        };
        match of.kind() {
            Kind::Struct(composite) if composite.size == named.layout().0 => {}
            _ => return Ok(None),
        }
        let (object, tag) = match named.is_root() {
            true => contents(self.btf, place)?,
            false => return Ok(Some((named.clone(), None))),
        };
        let kind = match named {
            FieldKind::ListHead { .. } => FieldKind::ListHead { object, node: 0 },
            _ => FieldKind::TreeRoot { object, node: 0 },
        };
        Ok(Some((kind, Some(tag))))
    }

    /// Repeats the fields that were found in an array's first element in the others.
    fn repeat(&mut self, first: usize, count: u32, element_size: u32) -> Result<(), Problem> {
        let element = self.found.get(first..).unwrap_or_default().to_vec();
        if element.is_empty() {
            return Ok(());
        }
        if count > 1 && !element.iter().all(|found| found.field.kind.repeats()) {
            return Err(Problem::Repeated);
        }
        let all = (element.len() as u64).saturating_mul(count.into());
        if all.saturating_add(first as u64) > MOST as u64 {
            return Err(Problem::Many);
        }
        for index in 1..count {
            let shift = index.saturating_mul(element_size);
            self.found.extend(element.iter().cloned().map(|mut found| {
                found.field.offset = found.field.offset.saturating_add(shift);
                found
            }));
        }
        Ok(())
    }

    /// Looks at the fields together: whether they overlap, where nodes are in what lists and trees
    /// contain, and what needs what.
    fn settle(&mut self) -> Result<(), Problem> {
        let mut end = 0;
        for found in &mut self.found {
            if found.field.offset < end {
                return Err(Problem::Overlap);
            }
            end = found.field.offset.saturating_add(found.field.size);
            let tag = found.contains.unwrap_or_default();
            match &mut found.field.kind {
                FieldKind::ListHead { object, node } => {
                    *node = node_of(self.btf, *object, tag, "bpf_list_node")?;
                }
                FieldKind::TreeRoot { object, node } => {
                    *node = node_of(self.btf, *object, tag, "bpf_rb_node")?;
                }
                _ => {}
            }
        }
        let has = |is: fn(&FieldKind) -> bool| self.found.iter().any(|one| is(&one.field.kind));
        let spin = has(|kind| matches!(kind, FieldKind::SpinLock));
        let resilient = has(|kind| matches!(kind, FieldKind::ResilientSpinLock));
        let nodes = has(|kind| matches!(kind, FieldKind::ListNode))
            && has(|kind| matches!(kind, FieldKind::TreeNode));
        if spin && resilient {
            Err(Problem::TwoLocks)
        } else if has(FieldKind::is_root) && !spin && !resilient {
            Err(Problem::NoLock)
        } else if nodes && !has(|kind| matches!(kind, FieldKind::Refcount)) {
            Err(Problem::NoRefcount)
        } else {
            Ok(())
        }
    }
}

/// A pointer to a type as a managed field, if tags say so.
pub(crate) fn kernel_pointer(
    btf: &Btf,
    holder: Holder,
    of: Type<'_>,
) -> Result<Option<FieldKind>, Problem> {
    let of = match of.kind() {
        Kind::Volatile { target } => btf.type_by_id(target).ok(),
        _ => Some(of),
    };
    let Some(Kind::Pointer { target }) = of.map(|of| of.kind()) else {
        return Ok(None);
    };
    let Ok(tag) = btf.type_by_id(target) else {
        return Ok(None);
    };
    let Kind::TypeTag {
        target,
        attribute: false,
    } = tag.kind()
    else {
        return Ok(None);
    };
    let name = || tag.name().to_owned();
    let second = btf.type_by_id(target).ok().and_then(|of| of.tag());
    if second == Some(KindTag::TypeTag) {
        return Err(Problem::Tags { tag: name() });
    }
    let (untrusted, percpu, user) = match tag.name() {
        "kptr" => (false, false, false),
        "kptr_untrusted" => (true, false, false),
        "percpu_kptr" => (false, true, false),
        "uptr" => (false, false, true),
        _ => return Err(Problem::Tag { tag: name() }),
    };
    if user && holder == Holder::Object {
        return Ok(None);
    }
    match btf.skip_modifiers(target) {
        Ok(pointee) if pointee.tag() == Some(KindTag::Struct) => {
            Ok(Some(FieldKind::KernelPointer {
                pointee: pointee.id(),
                untrusted,
                percpu,
                user,
            }))
        }
        _ => Err(Problem::Pointee { tag: name() }),
    }
}

/// The type of a list's or tree's objects, and the rest of the tag `contains:object:node` that says
/// it.
fn contents<'b>(btf: &'b Btf, place: &Place<'b>) -> Result<(TypeId, &'b str), Problem> {
    let mut tags = btf
        .decl_tags(place.holder.id(), place.member)
        .filter_map(|tag| tag.strip_prefix("contains:"));
    let tag = tags.next().ok_or(Problem::Untagged)?;
    if tags.next().is_some() {
        return Err(Problem::TwoContents);
    }
    let given = || tag.to_owned();
    let parts = tag.split_once(':');
    let (object, node) = parts.ok_or_else(|| Problem::Contents { tag: given() })?;
    let object = btf.find(object, KindTag::Struct);
    let object = object.ok_or_else(|| Problem::NoContents { tag: given() })?;
    match node {
        "" => Err(Problem::Contents { tag: given() }),
        _ => Ok((object, tag)),
    }
}

/// Where the node is in an object.
fn node_of(btf: &Btf, object: TypeId, tag: &str, node_type: &str) -> Result<u32, Problem> {
    let wrong = || Problem::Contents {
        tag: tag.to_owned(),
    };
    let (_, name) = tag.split_once(':').ok_or_else(wrong)?;
    let Ok(Kind::Struct(composite)) = btf.type_by_id(object).map(|of| of.kind()) else {
        return Err(wrong());
    };
    let mut found = None;
    for member in composite.members() {
        if member.name() != name {
            continue;
        }
        let of = btf.type_by_id(member.type_id).map_err(|_| wrong())?;
        let is_node = of.tag() == Some(KindTag::Struct) && of.name() == node_type;
        // Between words, or two of a name.
        if !is_node || !member.bit_offset.is_multiple_of(64) || found.is_some() {
            return Err(wrong());
        }
        found = Some(member.bit_offset / 8);
    }
    found.ok_or_else(|| Problem::NoContents {
        tag: tag.to_owned(),
    })
}
