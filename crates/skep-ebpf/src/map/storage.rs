//! Storage that belongs to an object of the kernel, and goes when it goes.

use core::ptr;

use super::definition::definition;
use super::{BPF_F_NO_PREALLOC, Map, MapOptions, Options, Value};
use crate::error::{Error, Result};
use crate::helper::{done, raw};
use crate::plain::Plain;

/// Storage is made where there is none.
const CREATE: u64 = 1;

macro_rules! storage {
    ($(
        $(#[$doc:meta])*
        $name:ident = $id:literal, $get:ident, $delete:ident, $owner:literal;
    )*) => { $(
        definition! {
            $(#[$doc])*
            $name = $id, [V: Plain,], [V,], Options<BPF_F_NO_PREALLOC>,
            { key: *const i32, value: *const V }
        }

        impl<V: Plain, O: MapOptions> $name<V, O> {
            #[doc = concat!("The value of a ", $owner, ", if it has one.")]
            #[inline(always)]
            #[must_use]
            pub fn get<T>(&self, owner: *const T) -> Option<Value<'_, V>> {
                // SAFETY: the map has such values. That the pointer is a trusted one to an owner,
                // the verifier sees to.
                unsafe {
                    Value::new(
                        raw::$get(self.as_raw(), owner.cast_mut().cast(), ptr::null_mut(), 0).cast(),
                    )
                }
            }

            #[doc = concat!("The value of a ", $owner, ", zero at first.")]
            ///
            /// # Errors
            ///
            /// `ENOMEM`: there is no memory for it, or another CPU is at the map right now.
            #[inline(always)]
            pub fn get_or_zero<T>(&self, owner: *const T) -> Result<Value<'_, V>> {
                // SAFETY: as above.
                unsafe {
                    Value::new(
                        raw::$get(self.as_raw(), owner.cast_mut().cast(), ptr::null_mut(), CREATE)
                            .cast(),
                    )
                }
                .ok_or(Error::ENOMEM)
            }

            #[doc = concat!("The value of a ", $owner, ", at first the one given.")]
            ///
            /// # Errors
            ///
            /// `ENOMEM`: there is no memory for it, or another CPU is at the map right now.
            #[inline(always)]
            pub fn get_or_insert<T>(&self, owner: *const T, value: &V) -> Result<Value<'_, V>> {
                super::address(value, |value| {
                    // SAFETY: as above.
                    unsafe {
                        Value::new(
                            raw::$get(
                                self.as_raw(),
                                owner.cast_mut().cast(),
                                value.cast_mut(),
                                CREATE,
                            )
                            .cast(),
                        )
                    }
                })
                .ok_or(Error::ENOMEM)
            }

            #[doc = concat!("Removes the value of a ", $owner, ". `ENOENT` where it has none.")]
            #[inline(always)]
            pub fn remove<T>(&self, owner: *const T) -> Result {
                // SAFETY: as above.
                done(i64::from(unsafe { raw::$delete(self.as_raw(), owner.cast_mut().cast()) }))
            }
        }
    )* };
}

storage! {
    /// A value for each task. Linux 5.11.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::helper::current_task;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[kernel]
    /// struct task_struct {
    ///     pid: i32,
    /// }
    ///
    /// #[map]
    /// static CALLS: TaskStorage<u64> = TaskStorage::new();
    ///
    /// #[tp_btf("sys_enter")]
    /// fn count(_: &TpBtfContext) -> Result {
    ///     let calls = CALLS.get_or_zero(current_task::<task_struct>())?;
    ///     calls.add(1);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_TASK_STORAGE")]
    TaskStorage = 29, bpf_task_storage_get, bpf_task_storage_delete, "task";

    /// A value for each inode. Linux 5.10.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[kernel]
    /// struct inode {
    ///     i_ino: u64,
    /// }
    ///
    /// #[kernel]
    /// struct file {
    ///     f_inode: *const inode,
    /// }
    ///
    /// #[map]
    /// static OPENED: InodeStorage<u64> = InodeStorage::new();
    ///
    /// #[lsm("file_open")]
    /// fn opened(context: &LsmContext) -> Result {
    ///     let file: *const file = context.argument(0);
    ///     OPENED.get_or_zero(core_load!(file.f_inode))?.add(1);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_INODE_STORAGE")]
    InodeStorage = 28, bpf_inode_storage_get, bpf_inode_storage_delete, "inode";

    /// A value for each socket. Linux 5.2.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[map]
    /// static PACKETS: SocketStorage<u64> = SocketStorage::new();
    ///
    /// #[cgroup_sock(create)]
    /// fn created(socket: &SockContext) -> Access {
    ///     match PACKETS.get_or_insert(socket, &1) {
    ///         Ok(_) => Access::ALLOW,
    ///         Err(_) => Access::DENY,
    ///     }
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_SK_STORAGE")]
    SocketStorage = 24, bpf_sk_storage_get, bpf_sk_storage_delete, "socket";

    /// A value for each cgroup. Linux 6.2.
    ///
    /// ```
    /// #![no_std]
    /// #![no_main]
    /// use skep_ebpf::helper::current_task;
    /// use skep_ebpf::prelude::*;
    ///
    /// license!("GPL");
    ///
    /// #[kernel]
    /// struct cgroup {
    ///     level: i32,
    /// }
    ///
    /// #[kernel]
    /// struct css_set {
    ///     dfl_cgrp: *const cgroup,
    /// }
    ///
    /// #[kernel]
    /// struct task_struct {
    ///     cgroups: *const css_set,
    /// }
    ///
    /// #[map]
    /// static CALLS: CgroupStorage<u64> = CgroupStorage::new();
    ///
    /// #[tp_btf("sys_enter")]
    /// fn count(_: &TpBtfContext) -> Result {
    ///     let task = current_task::<task_struct>();
    ///     CALLS.get_or_zero(core_load!(task.cgroups.dfl_cgrp))?.add(1);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "BPF_MAP_TYPE_CGRP_STORAGE")]
    CgroupStorage = 32, bpf_cgrp_storage_get, bpf_cgrp_storage_delete, "cgroup";
}
