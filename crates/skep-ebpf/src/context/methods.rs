//! One text for methods that several contexts have.

/// Reads `[Context Context …] { methods }`.
macro_rules! methods {
    ([] $body:tt) => {};
    ([$Context:ident $($rest:ident)*] { $($body:tt)* }) => {
        impl $Context {
            $($body)*
        }
        methods!([$($rest)*] { $($body)* });
    };
}
pub(crate) use methods;
