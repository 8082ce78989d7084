//! A borrowed range of shared memory.

use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// Bytes that programs may change at any time. Reading copies, word by word, each word whole.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    start: NonNull<u8>,
    len: usize,
    owner: PhantomData<&'a [AtomicU8]>,
}

macro_rules! words {
    ($($load:ident $store:ident $atomic:ident $int:ident $bytes:literal;)*) => {$(
        /// The number at `offset`; `None` outside the view. In one access where it is aligned.
        #[inline]
        pub(crate) fn $load(self, offset: usize) -> Option<$int> {
            let at = self.range(offset, $bytes)?;
            if at.cast::<$atomic>().is_aligned() {
                // SAFETY: inside the view and aligned; all accesses to its memory are atomic.
                Some(unsafe { at.cast::<$atomic>().as_ref() }.load(Relaxed))
            } else {
                self.part(offset, $bytes)?.read_bytes().map($int::from_ne_bytes)
            }
        }

        /// Sets the number at `offset`; `None`, and nothing done, outside the view.
        #[inline]
        pub(crate) fn $store(self, offset: usize, value: $int) -> Option<()> {
            let at = self.range(offset, $bytes)?;
            if at.cast::<$atomic>().is_aligned() {
                // SAFETY: inside the view and aligned; all accesses to its memory are atomic.
                unsafe { at.cast::<$atomic>().as_ref() }.store(value, Relaxed);
            } else {
                self.part(offset, $bytes)?.write_bytes(value.to_ne_bytes());
            }
            Some(())
        }
    )*};
}

impl<'a> View<'a> {
    /// # Safety
    /// For `'a`, `len` bytes from `start` are mapped, readable and writable, and touched by
    /// nothing but atomic accesses and programs.
    #[inline]
    pub(crate) const unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self {
            start,
            len,
            owner: PhantomData,
        }
    }

    /// # Safety
    /// As for [`View::new`], of the memory at `address`, whose provenance was exposed.
    #[inline]
    pub(crate) unsafe fn at_address(address: u64, len: usize) -> Option<Self> {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(address as usize);
        // SAFETY: the caller's promise.
        NonNull::new(start).map(|start| unsafe { Self::new(start, len) })
    }

    /// Its address, for programs.
    #[inline]
    pub(crate) fn address(self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Its length in bytes.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Where it begins, for system calls and words that others define.
    #[inline]
    pub(crate) fn as_ptr(self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Where it begins, for what owns its memory.
    pub(super) fn start(self) -> NonNull<u8> {
        self.start
    }

    #[inline]
    fn range(self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: `offset` is inside the view.
        Some(unsafe { self.start.add(offset) })
    }

    /// `len` bytes from `offset`, if it has them.
    #[inline]
    pub(crate) fn part(self, offset: usize, len: usize) -> Option<Self> {
        let start = self.range(offset, len)?;
        // SAFETY: a part of this view.
        Some(unsafe { Self::new(start, len) })
    }

    words! {
        u8_at set_u8 AtomicU8 u8 1;
        u16_at set_u16 AtomicU16 u16 2;
        u32_at set_u32 AtomicU32 u32 4;
        u64_at set_u64 AtomicU64 u64 8;
    }

    /// Its first bytes, in as many accesses as it takes.
    #[cold]
    #[inline(never)]
    fn read_bytes<const LEN: usize>(self) -> Option<[u8; LEN]> {
        let mut bytes = [0; LEN];
        (self.read(&mut bytes) == LEN).then_some(bytes)
    }

    /// Sets its first bytes, in as many accesses as it takes.
    #[cold]
    #[inline(never)]
    fn write_bytes<const LEN: usize>(self, bytes: [u8; LEN]) {
        self.write(&bytes);
    }

    /// The 32-bit word at `offset`; `None` outside the view or if it is not aligned.
    #[inline]
    pub(crate) fn word(self, offset: usize) -> Option<&'a AtomicU32> {
        let at = self.range(offset, 4)?;
        // SAFETY: inside the view and aligned; all accesses to its memory are atomic.
        at.cast::<AtomicU32>()
            .is_aligned()
            .then(|| unsafe { at.cast::<AtomicU32>().as_ref() })
    }

    /// The 64-bit word at `offset`; `None` outside the view or if it is not aligned.
    #[inline]
    pub(crate) fn long_word(self, offset: usize) -> Option<&'a AtomicU64> {
        let at = self.range(offset, 8)?;
        // SAFETY: inside the view and aligned; all accesses to its memory are atomic.
        at.cast::<AtomicU64>()
            .is_aligned()
            .then(|| unsafe { at.cast::<AtomicU64>().as_ref() })
    }

    /// Copies its bytes, as far as both reach; answers how many.
    #[inline]
    pub(crate) fn read(self, out: &mut [u8]) -> usize {
        let len = self.len.min(out.len());
        let mut done = 0;
        while done < len {
            // SAFETY: `done` is inside the view.
            let at = unsafe { self.start.add(done) };
            let words = self.words(done, (len - done) / 8);
            if !words.is_empty() {
                for (place, bytes) in words.iter().zip(out[done..len].chunks_exact_mut(8)) {
                    bytes.copy_from_slice(&place.load(Relaxed).to_ne_bytes());
                }
                done += words.len() * 8;
            } else if len - done >= 4 && at.cast::<AtomicU32>().is_aligned() {
                // SAFETY: 4 aligned bytes inside the view; all accesses are atomic.
                let word = unsafe { at.cast::<AtomicU32>().as_ref() }.load(Relaxed);
                out[done..done + 4].copy_from_slice(&word.to_ne_bytes());
                done += 4;
            } else {
                // SAFETY: a byte inside the view; all accesses are atomic.
                out[done] = unsafe { at.cast::<AtomicU8>().as_ref() }.load(Relaxed);
                done += 1;
            }
        }
        len
    }

    /// Copies bytes in, as far as both reach; answers how many.
    #[inline]
    pub(crate) fn write(self, from: &[u8]) -> usize {
        let len = self.len.min(from.len());
        let mut done = 0;
        while done < len {
            // SAFETY: `done` is inside the view.
            let at = unsafe { self.start.add(done) };
            let words = self.words(done, (len - done) / 8);
            if !words.is_empty() {
                for (place, bytes) in words.iter().zip(from[done..len].chunks_exact(8)) {
                    let word = bytes.first_chunk().copied().unwrap_or_default();
                    place.store(u64::from_ne_bytes(word), Relaxed);
                }
                done += words.len() * 8;
            } else if let (true, Some(word)) = (
                at.cast::<AtomicU32>().is_aligned(),
                from[done..len].first_chunk(),
            ) {
                // SAFETY: 4 aligned bytes inside the view; all accesses are atomic.
                let place = unsafe { at.cast::<AtomicU32>().as_ref() };
                place.store(u32::from_ne_bytes(*word), Relaxed);
                done += 4;
            } else {
                // SAFETY: a byte inside the view; all accesses are atomic.
                unsafe { at.cast::<AtomicU8>().as_ref() }.store(from[done], Relaxed);
                done += 1;
            }
        }
        len
    }

    /// Copies another view's bytes in, as far as both reach. They may overlap as copies of whole
    /// words forwards allow.
    #[inline]
    pub(crate) fn copy_from(self, other: View<'_>) {
        let len = self.len.min(other.len);
        let mut done = 0;
        while done < len {
            let step = if len - done >= 8 { 8 } else { 1 };
            match step {
                8 => other.u64_at(done).and_then(|word| self.set_u64(done, word)),
                _ => other.u8_at(done).and_then(|byte| self.set_u8(done, byte)),
            };
            done += step;
        }
    }

    /// Sets every byte.
    #[inline]
    pub(crate) fn fill(self, byte: u8) {
        let before = self.start.align_offset(8).min(self.len);
        let words = (self.len - before) / 8;
        let after = before + words * 8;
        for at in (0..before).chain(after..self.len) {
            self.set_u8(at, byte);
        }
        for place in self.words(before, words) {
            place.store(u64::from_ne_bytes([byte; 8]), Relaxed);
        }
    }

    /// `count` aligned words from `offset`, which the view has.
    fn words(self, offset: usize, count: usize) -> &'a [AtomicU64] {
        match self.range(offset, count * 8) {
            Some(start) if start.cast::<AtomicU64>().is_aligned() => {
                // SAFETY: inside the view and aligned; all accesses to its memory are atomic.
                unsafe { std::slice::from_raw_parts(start.as_ptr().cast(), count) }
            }
            _ => &[],
        }
    }

    /// Zeroes it as fast as the machine can, not in atomic accesses.
    ///
    /// # Safety
    /// Nobody else reads or writes it meanwhile.
    pub(crate) unsafe fn wipe(self) {
        // SAFETY: inside the view, and the caller's promise.
        unsafe { self.start.as_ptr().write_bytes(0, self.len) };
    }

    /// Its bytes now.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes);
        bytes
    }

    /// A view of bytes of this process that nothing else touches while it lives.
    #[inline]
    pub(crate) fn of(bytes: &'a mut [u8]) -> Self {
        let len = bytes.len();
        let start = NonNull::from(bytes).cast::<u8>();
        let _ = start.as_ptr().expose_provenance();
        // SAFETY: borrowed mutably for `'a`, so that only the view reaches them.
        unsafe { Self::new(start, len) }
    }
}

impl<'a> View<'a> {
    /// The same of words, so that it is aligned.
    pub(crate) fn of_words(words: &'a mut [u64]) -> Self {
        let len = size_of_val(words);
        let start = NonNull::from(words).cast::<u8>();
        let _ = start.as_ptr().expose_provenance();
        // SAFETY: borrowed mutably for `'a`, so that only the view reaches them.
        unsafe { Self::new(start, len) }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "View({:#x}, {} bytes)",
            self.start.as_ptr().addr(),
            self.len
        )
    }
}
