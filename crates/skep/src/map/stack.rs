//! Stack traces by id, as `bpf_get_stackid` stores them.

use skep_abi::{MapCreateFlags, MapType};

use super::Map;
use crate::{Error, Result};

impl Map {
    /// The addresses of the stack trace `id`, innermost first; `None` when it is not there (any
    /// more). Since 4.6.
    ///
    /// # Errors
    /// The map is of another type, or holds build ids in place of addresses (then
    /// [`lookup`](Self::lookup) gives an array of `struct bpf_stack_build_id`).
    #[doc(alias = "BPF_MAP_TYPE_STACK_TRACE")]
    pub fn stack_trace(&self, id: u32) -> Result<Option<Vec<u64>>> {
        self.expect_type(&[MapType::StackTrace])?;
        let flags = MapCreateFlags::from_bits_retain(self.info.flags);
        if flags.contains(MapCreateFlags::STACK_BUILD_ID) {
            return Err(Error::map(
                self,
                "it holds build ids, not addresses: use `lookup`",
            ));
        }
        let frames = self.lookup(&id.to_ne_bytes())?.map(|bytes| {
            let (frames, _) = bytes.as_chunks::<8>();
            let frames = frames.iter().map(|frame| u64::from_ne_bytes(*frame));
            frames.take_while(|address| *address != 0).collect()
        });
        Ok(frames)
    }
}
