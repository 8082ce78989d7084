//! What of a map's value, or of an object that a program allocates, the kernel manages: locks,
//! timers, kernel pointers, lists and trees.

use skep_btf::{Btf, TypeId};

/// The managed fields of a type, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields.
    pub fields: Vec<Field>,
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

impl Fields {
    /// The managed fields of a type.
    pub fn of(btf: &Btf, type_id: TypeId) -> Self {
        let _ = (btf, type_id);
        Self::default()
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
