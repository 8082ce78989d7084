//! Setting and deleting many entries a system call (`BPF_MAP_UPDATE_BATCH`,
//! `BPF_MAP_DELETE_BATCH`, 5.6), one by one where the kernel can't.

use skep_host::Errno;

use super::{Map, Update, entries::is_unsupported};
use crate::{Error, Result};

/// Most entries of one system call: it can't be interrupted.
const MOST: usize = 16 * 1024;

impl Map {
    /// Sets many entries: the keys one after the other, and as many values of
    /// [`entry_size`](Self::entry_size) bytes.
    ///
    /// # Errors
    /// The lengths don't fit, or the host refused an entry: [`Error::Entry`] says which. Those
    /// before it are set then.
    #[doc(alias = "BPF_MAP_UPDATE_BATCH")]
    pub fn update_batch(&self, keys: &[u8], values: &[u8], update: Update) -> Result<()> {
        let (key_size, value_size) = (self.key_size(), self.entry_size());
        let count = self.count("keys", keys.len(), key_size)?;
        self.check("values", values.len(), count * value_size)?;
        let flags = update.flags();
        let mut done = 0;
        let mut in_batches = true;
        while done < count {
            let (keys, values) = (&keys[done * key_size..], &values[done * value_size..]);
            let answer = if in_batches {
                let many = (count - done).min(MOST);
                let number = u32::try_from(many).unwrap_or(u32::MAX);
                self.host
                    .map_update_batch(&self.fd, keys, values, number, flags)
            } else {
                let (key, value) = (&keys[..key_size], &values[..value_size]);
                self.host
                    .map_update_elem(&self.fd, key, value, flags)
                    .map(|()| 1)
            };
            match answer {
                Ok(more) => done += more as usize,
                Err(error) if in_batches && done == 0 && may_work_singly(&error) => {
                    in_batches = false;
                }
                Err(error) => return Err(Error::entry(done, error)),
            }
        }
        Ok(())
    }

    /// Deletes many entries, whose keys are given one after the other; answers how many of them
    /// there were.
    ///
    /// # Errors
    /// The length doesn't fit, or the map's type has no deletes.
    #[doc(alias = "BPF_MAP_DELETE_BATCH")]
    pub fn delete_batch(&self, keys: &[u8]) -> Result<usize> {
        let key_size = self.key_size();
        let count = self.count("keys", keys.len(), key_size)?;
        let (mut done, mut deleted) = (0, 0);
        let mut in_batches = true;
        while done < count {
            let rest = &keys[done * key_size..];
            let answer = if in_batches {
                let many = u32::try_from((count - done).min(MOST)).unwrap_or(u32::MAX);
                self.host.map_delete_batch(&self.fd, rest, many, 0)
            } else {
                let was = self.host.map_delete_elem(&self.fd, &rest[..key_size]);
                done += usize::from(matches!(was, Ok(false)));
                was.map(u32::from)
            };
            match answer {
                Ok(more) => {
                    done += more as usize;
                    deleted += more as usize;
                }
                // The batch stopped at a key that is not there.
                Err(error) if error.errno() == Some(Errno::ENOENT) => done += 1,
                Err(error) if in_batches && done == 0 && may_work_singly(&error) => {
                    in_batches = false;
                }
                Err(error) => return Err(Error::entry(done, error)),
            }
        }
        Ok(deleted)
    }

    /// How many items of `size` bytes there are in `len` bytes.
    fn count(&self, what: &str, len: usize, size: usize) -> Result<usize> {
        match len.checked_rem(size) {
            Some(0) => Ok(len / size),
            Some(_) => Err(Error::map(
                self,
                &format!("the {what} are {len} bytes, no multiple of {size}"),
            )),
            None => Err(Error::map(self, "it has no keys")),
        }
    }
}

fn may_work_singly(error: &skep_host::Error) -> bool {
    error.errno().is_some_and(is_unsupported)
}
