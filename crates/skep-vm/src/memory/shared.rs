//! Memory of the machine as its users see it.

use std::{any::Any, fmt, ops::Range, ptr::NonNull, sync::Arc, sync::atomic::AtomicU64};

use skep_host::{Access, Errno, LongWord, Memory, Word};

use super::View;

/// A part of something's memory, which it keeps alive.
pub(crate) struct Shared {
    start: NonNull<u8>,
    len: usize,
    access: Access,
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the memory is the owner's, which any thread may drop and look at; it is only touched by
// atomic accesses, and by programs, for which races are what they are for the machine.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The memory of `owner` that `part` chooses.
    ///
    /// # Errors
    /// What `part` says; `EINVAL` if it does not begin at a word.
    pub(crate) fn new<O: Any + Send + Sync>(
        owner: Arc<O>,
        access: Access,
        part: impl for<'o> FnOnce(&'o O) -> Result<View<'o>, Errno>,
    ) -> Result<Self, Errno> {
        let view = part(&owner)?;
        let (start, len) = (view.start(), view.len());
        if start.addr().get() % 8 != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            start,
            len,
            access,
            _owner: owner,
        })
    }
}

impl Memory for Shared {
    fn words(&self) -> &[Word] {
        // SAFETY: `new` borrowed these bytes from the owner, whatever its life was: they are there
        // as long as it, which we keep and nobody can change but through shared references. They
        // are aligned, and only touched atomically; words are atomics of which any bytes are
        // valid.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    fn long_words(&self) -> &[LongWord] {
        // SAFETY: as in `words`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 8) }
    }

    fn writable(&self) -> Option<&[AtomicU64]> {
        (self.access == Access::ReadWrite).then(|| {
            // SAFETY: as in `words`.
            unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 8) }
        })
    }

    fn committed(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} is not inside {} bytes of memory",
            self.len
        );
        // SAFETY: inside, as was just looked at, and there as long as `self`. By the trait's
        // contract the producer has published these bytes and leaves them alone until the
        // caller's next position store.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(range.start), range.len()) }
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} bytes, {:?})", self.len, self.access)
    }
}
