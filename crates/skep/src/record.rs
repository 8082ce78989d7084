//! What an event may be read as: a plain type, or its bytes.

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// A type that an event's bytes can be seen as.
///
/// Every sized type that derives zerocopy's `FromBytes`, `KnownLayout` and `Immutable` is one,
/// and so is `[u8]`.
///
/// ```
/// use skep::Record;
///
/// #[repr(C)]
/// #[derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
/// struct Open {
///     pid: u32,
///     ret: i32,
/// }
///
/// let bytes = [7u32.to_ne_bytes(), (-2i32).to_ne_bytes()].concat();
/// # let bytes = { let mut b = vec![0u64; 1]; zerocopy::IntoBytes::as_mut_bytes(b.as_mut_slice()).copy_from_slice(&bytes); b };
/// # let bytes = zerocopy::IntoBytes::as_bytes(bytes.as_slice());
/// let open = Open::view(bytes).unwrap();
/// assert_eq!((open.pid, open.ret), (7, -2));
/// ```
pub trait Record {
    /// Bytes that a record must have at least.
    const SIZE: usize;

    /// The bytes as this type; `None` when there are too few, or they are not aligned for it.
    fn view(bytes: &[u8]) -> Option<&Self>;
}

impl<T: FromBytes + KnownLayout + Immutable> Record for T {
    const SIZE: usize = size_of::<T>();

    #[inline]
    fn view(bytes: &[u8]) -> Option<&Self> {
        T::ref_from_prefix(bytes).ok().map(|(value, _)| value)
    }
}

impl Record for [u8] {
    const SIZE: usize = 0;

    #[inline]
    fn view(bytes: &[u8]) -> Option<&Self> {
        Some(bytes)
    }
}
