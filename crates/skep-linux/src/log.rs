//! The verifier's log: asked for once and whole.
//!
//! The buffer is large and its pages are touched only as far as the log reaches. Should a log
//! be larger still, it is asked for again with what the kernel says it needs (6.4), or with
//! four times the room.

use skep_host::Errno;

use crate::sys::address_mut;

/// `BPF_LOG_LEVEL1`: the path on which verification failed.
pub(crate) const LEVEL_PATH: u32 = 1;
/// `BPF_LOG_LEVEL2`: every state.
pub(crate) const LEVEL_STATES: u32 = 2;
/// `BPF_LOG_STATS` (5.2).
pub(crate) const LEVEL_STATISTICS: u32 = 4;

/// What kernels before 5.2 accept at most.
const FIRST_SIZE: usize = (u32::MAX >> 8) as usize;
/// What kernels accept at most.
const LARGEST_SIZE: usize = (u32::MAX >> 2) as usize;

/// Room for a log.
pub(crate) struct LogBuffer(Vec<u8>);

impl LogBuffer {
    fn new(size: usize) -> Self {
        // Zeroed pages come from the kernel when they are first touched.
        Self(vec![0; size])
    }

    /// Room for what is said of a program of two instructions.
    #[cfg(feature = "probes")]
    pub(crate) fn short() -> Self {
        Self::new(1 << 14)
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.0.len() as u32
    }

    /// Its address, for the kernel to write to.
    pub(crate) fn address(&mut self) -> u64 {
        address_mut(&mut self.0)
    }

    /// What the kernel wrote.
    pub(crate) fn into_text(self) -> String {
        crate::attr::text(&self.0)
    }
}

/// Runs `ask` with ever larger buffers until the log fits; gives the outcome with the log.
///
/// `ask` answers, beside its outcome, with the log's true size or 0.
pub(crate) fn whole<T>(
    mut ask: impl FnMut(&mut LogBuffer) -> Result<(T, u32), (Errno, u32)>,
) -> Result<(T, String), (Errno, String)> {
    let mut size = FIRST_SIZE;
    loop {
        let mut buffer = LogBuffer::new(size);
        match ask(&mut buffer) {
            Ok((value, _)) => return Ok((value, buffer.into_text())),
            Err((Errno::ENOSPC, needed)) if size < LARGEST_SIZE => {
                size = (needed as usize)
                    .max(size.saturating_mul(4))
                    .min(LARGEST_SIZE);
            }
            Err((errno, _)) => return Err((errno, buffer.into_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_fit_is_asked_for_again() {
        let mut sizes = Vec::new();
        let outcome = whole(|buffer| {
            sizes.push(buffer.size());
            if sizes.len() < 3 {
                Err::<((), u32), _>((Errno::ENOSPC, 0))
            } else {
                Ok(((), 0))
            }
        });
        assert_eq!(outcome, Ok(((), String::new())));
        assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
    }

    #[test]
    fn the_kernels_own_size_is_taken() {
        let needed = 100 << 20;
        let mut sizes = Vec::new();
        let outcome = whole(|buffer| -> Result<((), u32), _> {
            sizes.push(buffer.size());
            let errno = if sizes.len() == 1 {
                Errno::ENOSPC
            } else {
                Errno::EACCES
            };
            Err((errno, needed))
        });
        assert_eq!(outcome, Err((Errno::EACCES, String::new())));
        assert_eq!(sizes, [FIRST_SIZE as u32, needed]);
    }
}
