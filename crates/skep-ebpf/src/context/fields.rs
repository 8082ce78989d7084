//! What the lines of `generated/fields.rs` stand for: methods that load and store fields.

/// Reads `Context; r u32 len @ 0; rw u32 mark set_mark @ 8; …`.
macro_rules! fields {
    ($Context:ident; $($lines:tt)*) => {
        impl $Context {
            fields!(@ $($lines)*);
        }
    };
    (@) => {};
    // A number.
    (@ $(#[$doc:meta])* r $type:ident $name:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> $type {
            // SAFETY: a field of the context, by its width.
            unsafe { $crate::context::access::Word::load::<$offset>(self.as_ptr()) }
        }
        fields!(@ $($rest)*);
    };
    (@ $(#[$doc:meta])* rw $type:ident $name:ident $set:ident @ $offset:literal; $($rest:tt)*) => {
        fields!(@ $(#[$doc])* r $type $name @ $offset;);

        #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[inline(always)]
        pub fn $set(&self, value: $type) {
            // SAFETY: a field of the context, by its width.
            unsafe { $crate::context::access::Word::store::<$offset>(value, self.as_ptr()) }
        }
        fields!(@ $($rest)*);
    };
    // Several, all at once: those that are not used are not loaded.
    (@ $(#[$doc:meta])* r [$type:ident; $n:literal] $name:ident @ $($offset:literal)*; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> [$type; $n] {
            // SAFETY: words of the context, by their width.
            unsafe { [$($crate::context::access::Word::load::<$offset>(self.as_ptr())),*] }
        }
        fields!(@ $($rest)*);
    };
    // Words that are used one by one.
    (@ $(#[$doc:meta])* rw [$type:ident; $n:literal] $name:ident $set:ident @ $($offset:literal)*; $($rest:tt)*) => {
        fields!(@ $(#[$doc])* r [$type; $n] $name @ $($offset)*;);

        #[doc = concat!("Sets a word of [`", stringify!($name), "`](Self::", stringify!($name), ");")]
        #[doc = "of an index beyond them nothing."]
        #[inline(always)]
        pub fn $set(&self, index: usize, value: $type) {
            let mut place = 0;
            $(
                if index == place {
                    // SAFETY: a word of the context, by its width.
                    unsafe { $crate::context::access::Word::store::<$offset>(value, self.as_ptr()) }
                }
                place += 1;
            )*
            let _ = place;
        }
        fields!(@ $($rest)*);
    };
    // An end of a packet.
    (@ $(#[$doc:meta])* packet $type:ident $name:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> *mut u8 {
            // SAFETY: a field of the context, by its width.
            unsafe { $crate::context::access::load_pointer::<$type, $offset>(self.as_ptr()) }
        }
        fields!(@ $($rest)*);
    };
    // A structure of the kernel's that it lends.
    (@ $(#[$doc:meta])* always $Type:ident $name:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> &$Type {
            // SAFETY: the kernel gives a pointer that is not null; the type has no size.
            unsafe { &*$crate::context::access::load_pointer::<u64, $offset>(self.as_ptr()).cast() }
        }
        fields!(@ $($rest)*);
    };
    (@ $(#[$doc:meta])* perhaps $Type:ident $name:ident @ $offset:literal; $($rest:tt)*) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(&self) -> Option<&$Type> {
            // SAFETY: the kernel gives a pointer or null; the type has no size.
            unsafe {
                $crate::context::access::load_pointer::<u64, $offset>(self.as_ptr())
                    .cast::<$Type>()
                    .as_ref()
            }
        }
        fields!(@ $($rest)*);
    };
}
pub(crate) use fields;
