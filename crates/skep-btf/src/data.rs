//! The bytes behind a [`Btf`](crate::Btf): owned, shared, static or mapped by somebody else, never
//! copied by this crate.

use std::fmt;
use std::sync::Arc;

/// Bytes that a [`Btf`](crate::Btf) keeps and reads in place.
///
/// A crate that maps `/sys/kernel/btf/vmlinux` hands its mapping in by [`BtfData::shared`].
pub struct BtfData(Repr);

enum Repr {
    Owned(Vec<u8>),
    Counted(Arc<[u8]>),
    Static(&'static [u8]),
    Foreign(Box<dyn AsRef<[u8]> + Send + Sync>),
}

impl BtfData {
    /// Bytes held by something else, such as a memory map. `as_ref` should give the same bytes
    /// each time; if it does not, reads give wrong answers but never panic.
    pub fn shared(data: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Repr::Foreign(Box::new(data)))
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Owned(bytes) => bytes,
            Repr::Counted(bytes) => bytes,
            Repr::Static(bytes) => bytes,
            Repr::Foreign(bytes) => (**bytes).as_ref(),
        }
    }
}

impl fmt::Debug for BtfData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BtfData({} bytes)", self.bytes().len())
    }
}

impl From<Vec<u8>> for BtfData {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Repr::Owned(bytes))
    }
}

impl From<Arc<[u8]>> for BtfData {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self(Repr::Counted(bytes))
    }
}

impl From<&'static [u8]> for BtfData {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Repr::Static(bytes))
    }
}

impl From<Box<dyn AsRef<[u8]> + Send + Sync>> for BtfData {
    fn from(bytes: Box<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(Repr::Foreign(bytes))
    }
}
