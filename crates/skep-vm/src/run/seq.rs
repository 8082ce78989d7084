//! The text of an iterator: what its program writes into its `struct seq_file`.

use std::cell::{Cell, RefCell};

use skep_host::Errno;

/// The sequence that a run writes to. A run that is none of an iterator has no address for it.
#[derive(Debug, Default)]
pub(crate) struct Seq {
    /// The address of its `struct seq_file`; 0: none.
    address: Cell<u64>,
    text: RefCell<Vec<u8>>,
    room: Cell<usize>,
}

impl Seq {
    /// Lets the run write up to `room` bytes to the sequence at this address.
    pub(crate) fn open(&self, address: u64, room: usize) {
        self.address.set(address);
        self.room.set(room);
    }

    /// Whether this is the run's sequence.
    pub(crate) fn is(&self, address: u64) -> bool {
        address != 0 && self.address.get() == address
    }

    /// Appends, all or nothing.
    ///
    /// # Errors
    /// `EOVERFLOW`: there is no room for it.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Errno> {
        let mut text = self.text.borrow_mut();
        if bytes.len() > self.room.get().saturating_sub(text.len()) {
            // Nothing more fits, as with a full `seq_file`.
            self.room.set(0);
            return Err(Errno::EOVERFLOW);
        }
        text.extend_from_slice(bytes);
        Ok(())
    }

    /// What was written; `None` when some of it did not fit.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let text = self.text.take();
        (self.room.get() > 0 || self.address.get() == 0).then_some(text)
    }
}
