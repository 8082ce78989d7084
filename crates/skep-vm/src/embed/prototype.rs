//! What a helper of an embedder takes, as data: the machine checks it before the helper is called,
//! and a verifier can read it.

use skep_verifier::CustomParameter;

/// A parameter of a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parameter {
    /// A number: one register.
    Number,
    /// A pointer to a value of this many bytes, to be read: one register.
    Value(u32),
    /// A pointer to a value of this many bytes, to be written: one register.
    ValueMut(u32),
    /// A pointer to bytes that are read, and their number: two registers.
    Bytes,
    /// A pointer to bytes that are written, and their number: two registers.
    BytesMut,
}

impl Parameter {
    /// As the verifier sees it.
    pub(super) const fn seen(self) -> CustomParameter {
        match self {
            Self::Number => CustomParameter::Number,
            Self::Value(bytes) => CustomParameter::Value(bytes),
            Self::ValueMut(bytes) => CustomParameter::ValueMut(bytes),
            Self::Bytes => CustomParameter::Bytes,
            Self::BytesMut => CustomParameter::BytesMut,
        }
    }

    /// How many registers it takes.
    #[must_use]
    pub const fn registers(self) -> usize {
        match self {
            Self::Number | Self::Value(_) | Self::ValueMut(_) => 1,
            Self::Bytes | Self::BytesMut => 2,
        }
    }
}

/// A helper's number, name and parameters.
///
/// Programs call it by its number, as they call the kernel's:
/// `static long (*price_of)(__u32 item, void *name, __u32 len) = (void *) 1000;`
///
/// ```
/// let price_of = skep_vm::Prototype::new(1000, "price_of").number().bytes_mut();
/// assert_eq!(price_of.registers(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prototype {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
}

impl Prototype {
    /// A helper without parameters.
    #[must_use]
    pub fn new(id: u32, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            parameters: Vec::new(),
        }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// With a number.
    #[must_use]
    pub fn number(self) -> Self {
        self.with(Parameter::Number)
    }

    /// With a value that is read.
    #[must_use]
    pub fn value<T>(self) -> Self {
        self.with(Parameter::Value(size_of::<T>() as u32))
    }

    /// With a value that is written.
    #[must_use]
    pub fn value_mut<T>(self) -> Self {
        self.with(Parameter::ValueMut(size_of::<T>() as u32))
    }

    /// With bytes that are read.
    #[must_use]
    pub fn bytes(self) -> Self {
        self.with(Parameter::Bytes)
    }

    /// With bytes that are written.
    #[must_use]
    pub fn bytes_mut(self) -> Self {
        self.with(Parameter::BytesMut)
    }

    /// How many registers its parameters take.
    #[must_use]
    pub fn registers(&self) -> usize {
        self.parameters
            .iter()
            .map(|parameter| parameter.registers())
            .sum()
    }
}
