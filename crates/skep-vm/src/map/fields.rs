//! What of a map's value is more than bytes: locks, timers, kernel pointers, lists. Copies in and
//! out leave those alone.

use skep_host::Errno;

use crate::memory::View;

/// A special field of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    /// Bytes from the value's start.
    pub(crate) offset: u32,
    /// Bytes.
    pub(crate) size: u32,
    pub(crate) kind: FieldKind,
}

/// What a special field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum FieldKind {
    /// `struct bpf_spin_lock`
    SpinLock,
    /// `struct bpf_res_spin_lock`
    ResilientLock,
    /// `struct bpf_timer`
    Timer,
    /// `struct bpf_wq`
    Workqueue,
    /// `struct bpf_task_work`
    TaskWork,
    /// A pointer with the tag `kptr`, `kptr_untrusted`, `percpu_kptr` or `uptr`.
    Pointer,
    /// `struct bpf_list_head`
    ListHead,
    /// `struct bpf_list_node`
    ListNode,
    /// `struct bpf_rb_root`
    TreeRoot,
    /// `struct bpf_rb_node`
    TreeNode,
    /// `struct bpf_refcount`
    Refcount,
}

/// The special fields of a value, by offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<Field>);

impl Fields {
    pub(crate) fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_by_key(|field| field.offset);
        Self(fields)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// The field of this kind, where there is one.
    pub(crate) fn find(&self, kind: FieldKind) -> Option<&Field> {
        self.0.iter().find(|field| field.kind == kind)
    }

    /// Copies a value of a program in, all but the special fields.
    pub(crate) fn copy(&self, place: View<'_>, value: View<'_>, _flags: u64) -> Result<(), Errno> {
        if self.0.is_empty() {
            place.copy_from(value);
            return Ok(());
        }
        self.plain(place.len(), |offset, len| {
            if let (Some(to), Some(from)) = (place.part(offset, len), value.part(offset, len)) {
                to.copy_from(from);
            }
        });
        Ok(())
    }

    /// Copies a value of a user in, all but the special fields.
    pub(crate) fn write(&self, place: View<'_>, value: &[u8], _flags: u64) -> Result<(), Errno> {
        self.plain(place.len(), |offset, len| {
            if let (Some(to), Some(from)) =
                (place.part(offset, len), value.get(offset..offset + len))
            {
                to.write(from);
            }
        });
        Ok(())
    }

    /// Copies a value out for a user; special fields read as zero.
    pub(crate) fn read(&self, place: View<'_>, value: &mut [u8], _flags: u64) -> Result<(), Errno> {
        if !self.0.is_empty() {
            value.fill(0);
        }
        self.plain(place.len(), |offset, len| {
            if let (Some(from), Some(to)) =
                (place.part(offset, len), value.get_mut(offset..offset + len))
            {
                from.read(to);
            }
        });
        Ok(())
    }

    /// The ranges between special fields.
    fn plain(&self, size: usize, mut each: impl FnMut(usize, usize)) {
        let mut done = 0;
        for field in &self.0 {
            let start = field.offset as usize;
            if start > done {
                each(done, start - done);
            }
            done = done.max(start + field.size as usize);
        }
        if size > done {
            each(done, size - done);
        }
    }
}
