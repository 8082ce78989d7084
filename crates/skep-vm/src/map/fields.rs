//! What of a map's value is more than bytes: locks, timers, kernel pointers, lists. Copies in and
//! out leave those alone.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use skep_host::Errno;

use super::spin::pause;
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
    /// A pointer with the tag `kptr`, `kptr_untrusted` or `percpu_kptr`.
    Pointer,
    /// A pointer with the tag `uptr`.
    UserPointer,
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

/// What becomes of what a value's fields hold when the value goes away.
pub(crate) trait Keeper: Send + Sync {
    /// Stops the timers, drops the objects and empties the lists that are in `value`, which
    /// programs may still use. It must not come back to the map.
    fn free(&self, value: View<'_>, fields: &Fields);

    /// Stops what a map that no user holds any more would go on doing.
    fn users_gone(&self, map: &super::Map);
}

/// The special fields of a value, by offset.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    all: Vec<Field>,
    keeper: Option<Arc<dyn Keeper>>,
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

/// Rounds of waiting for a lock in a value, after which it is taken for broken: a program that
/// nobody verified may have written anything there.
const PATIENCE: u32 = 100_000;

/// A lock in a value, held.
struct Locked<'a>(&'a AtomicU32);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

impl Fields {
    pub(crate) fn new(mut fields: Vec<Field>) -> Self {
        fields.sort_by_key(|field| field.offset);
        Self {
            all: fields,
            keeper: None,
        }
    }

    /// The same fields, with what frees them.
    pub(crate) fn kept_by(mut self, keeper: Arc<dyn Keeper>) -> Self {
        self.keeper = Some(keeper);
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Field> {
        self.all.iter()
    }

    /// A value is nothing but bytes.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The field of this kind, where there is one.
    pub(crate) fn find(&self, kind: FieldKind) -> Option<&Field> {
        self.all.iter().find(|field| field.kind == kind)
    }

    /// Whether there is one of this kind at an offset.
    pub(crate) fn has(&self, offset: u64, kind: FieldKind) -> bool {
        let is_it = |field: &Field| u64::from(field.offset) == offset && field.kind == kind;
        self.all.iter().any(is_it)
    }

    /// Takes the `bpf_spin_lock` of a value if the flags ask for it.
    fn lock<'a>(&self, place: View<'a>, flags: u64) -> Result<Option<Locked<'a>>, Errno> {
        if flags & super::LOCK == 0 {
            return Ok(None);
        }
        let field = self.find(FieldKind::SpinLock).ok_or(Errno::EINVAL)?;
        let word = place.word(field.offset as usize).ok_or(Errno::EINVAL)?;
        for round in 0..PATIENCE {
            if word.load(Relaxed) == 0 && word.compare_exchange(0, 1, Acquire, Relaxed).is_ok() {
                return Ok(Some(Locked(word)));
            }
            pause(round);
        }
        Err(Errno::EBUSY)
    }

    /// Copies a value of a program in, all but the special fields.
    ///
    /// # Errors
    /// With `BPF_F_LOCK`: `EINVAL` without a lock, `EBUSY` if nobody ever gives it back.
    #[inline]
    pub(crate) fn copy(&self, place: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        if self.all.is_empty() {
            place.copy_from(value);
            return Ok(());
        }
        let _locked = self.lock(place, flags)?;
        self.plain(place.len(), |offset, len| {
            if let (Some(to), Some(from)) = (place.part(offset, len), value.part(offset, len)) {
                to.copy_from(from);
            }
        });
        Ok(())
    }

    /// Copies a value of a user in, all but the special fields.
    ///
    /// # Errors
    /// As [`Fields::copy`].
    pub(crate) fn write(&self, place: View<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        let _locked = self.lock(place, flags)?;
        self.plain(place.len(), |offset, len| {
            if let (Some(to), Some(from)) =
                (place.part(offset, len), value.get(offset..offset + len))
            {
                to.write(from);
            }
        });
        Ok(())
    }

    /// Copies a value out for a user; special fields read as those of a new value.
    ///
    /// # Errors
    /// As [`Fields::copy`].
    pub(crate) fn read(&self, place: View<'_>, value: &mut [u8], flags: u64) -> Result<(), Errno> {
        let _locked = self.lock(place, flags)?;
        if !self.all.is_empty() {
            value.fill(0);
            self.clear(View::of(value));
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

    /// Makes the special fields of a new value empty.
    pub(crate) fn clear(&self, place: View<'_>) {
        for field in &self.all {
            if let Some(part) = place.part(field.offset as usize, field.size as usize) {
                part.fill(0);
                // What is new has one owner.
                if field.kind == FieldKind::Refcount {
                    part.set_u32(0, 1);
                }
            }
        }
    }

    /// Frees what the special fields of a value hold.
    pub(crate) fn free(&self, place: View<'_>) {
        if let Some(keeper) = &self.keeper {
            keeper.free(place, self);
        }
    }

    /// No user holds the map any more.
    pub(super) fn users_gone(&self, map: &super::Map) {
        if let Some(keeper) = &self.keeper {
            keeper.users_gone(map);
        }
    }

    /// The ranges between special fields.
    fn plain(&self, size: usize, mut each: impl FnMut(usize, usize)) {
        let mut done = 0;
        for field in &self.all {
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
