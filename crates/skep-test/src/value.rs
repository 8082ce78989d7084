//! Values as tests write them, before any type is known: what TOML has, with their places.

use std::{ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::source::{FileError, Parsed, Place, Source};

/// A value of a test: of a file, or made by Rust code.
///
/// ```
/// use skep_test::Value;
///
/// let event = Value::table([
///     ("pid", Value::from(7)),
///     ("comm", "ls".into()),
///     ("args", [1, 2].into()),
/// ]);
/// assert_eq!(event.to_string(), r#"{ pid = 7, comm = "ls", args = [1, 2] }"#);
/// ```
#[derive(Debug, Clone)]
pub struct Value {
    pub(crate) place: Option<Place>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    /// Bytes that only Rust code can give as such.
    Bytes(Vec<u8>),
    Array(Vec<Value>),
    Table(Table),
}

/// Values by name, in their order.
pub(crate) type Table = Vec<Entry>;

/// A name with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) place: Option<Place>,
    pub(crate) value: Value,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Value {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { place: None, kind }
    }

    /// A table of named values.
    pub fn table<N: Into<String>, V: Into<Self>>(
        entries: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(name, value)| Entry {
            name: name.into(),
            place: None,
            value: value.into(),
        });
        Self::new(Kind::Table(entries.collect()))
    }

    /// Raw bytes: for a value of any type.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Bytes(bytes.into()))
    }

    /// What kind of value it is, in words.
    pub(crate) fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Integer(_) => "a number",
            Kind::Float(_) => "a decimal number",
            Kind::Bool(_) => "true or false",
            Kind::Text(_) => "a text",
            Kind::Bytes(_) => "bytes",
            Kind::Array(_) => "an array",
            Kind::Table(_) => "a table",
        }
    }

    /// An error at its place.
    pub(crate) fn error(&self, what: impl Into<String>) -> FileError {
        FileError::new(self.place.clone(), what)
    }

    /// An error: it should be something else.
    pub(crate) fn wanted(&self, wanted: &str) -> FileError {
        self.error(format!("this is {}, not {wanted}", self.kind_name()))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn text(&self, wanted: &str) -> Parsed<&str> {
        self.as_text().ok_or_else(|| self.wanted(wanted))
    }

    pub(crate) fn array(&self, wanted: &str) -> Parsed<&[Self]> {
        match &self.kind {
            Kind::Array(values) => Ok(values),
            _ => Err(self.wanted(wanted)),
        }
    }

    pub(crate) fn entries(&self, wanted: &str) -> Parsed<&Table> {
        match &self.kind {
            Kind::Table(table) => Ok(table),
            _ => Err(self.wanted(wanted)),
        }
    }

    /// A whole number that fits.
    pub(crate) fn number<T: TryFrom<i128>>(&self, wanted: &str) -> Parsed<T> {
        match &self.kind {
            Kind::Integer(number) => T::try_from(*number)
                .map_err(|_| self.error(format!("{number} is out of range for {wanted}"))),
            _ => Err(self.wanted(wanted)),
        }
    }

    /// The value of a name, of a table.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Table(table) => {
                let mut entries = table.iter();
                let found = entries.find(|entry| entry.name == name);
                found.map(|entry| &entry.value)
            }
            _ => None,
        }
    }

    /// Refuses names that mean nothing in this table.
    pub(crate) fn only(&self, kind: &str, known: &[&str]) -> Parsed<()> {
        let entries = self.entries("a table")?;
        match entries
            .iter()
            .find(|entry| !known.contains(&entry.name.as_str()))
        {
            None => Ok(()),
            Some(entry) => {
                let place = entry.place.clone();
                let known = known.iter().copied();
                Err(FileError::unknown(place, kind, &entry.name, known))
            }
        }
    }

    /// Puts another value over it: tables are merged name by name, all else is replaced.
    pub(crate) fn overlaid(&self, over: &Self) -> Self {
        let (Kind::Table(under), Kind::Table(above)) = (&self.kind, &over.kind) else {
            return over.clone();
        };
        let mut merged = under.clone();
        for entry in above {
            match merged.iter_mut().find(|known| known.name == entry.name) {
                Some(known) => {
                    known.value = known.value.overlaid(&entry.value);
                    known.place.clone_from(&entry.place);
                }
                None => merged.push(entry.clone()),
            }
        }
        Self {
            place: over.place.clone(),
            kind: Kind::Table(merged),
        }
    }

    /// The same table without some of its names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let Kind::Table(table) = &self.kind else {
            return self.clone();
        };
        let kept = table
            .iter()
            .filter(|entry| !names.contains(&entry.name.as_str()));
        Self {
            place: self.place.clone(),
            kind: Kind::Table(kept.cloned().collect()),
        }
    }
}

impl std::fmt::Display for Value {
    /// As TOML writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Integer(number) => write!(f, "{number}"),
            Kind::Float(number) => write!(f, "{number}"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Text(text) => write!(f, "{text:?}"),
            Kind::Bytes(bytes) => {
                f.write_str("{ bytes = \"")?;
                for byte in bytes {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("\" }")
            }
            Kind::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Kind::Table(table) if table.is_empty() => f.write_str("{}"),
            Kind::Table(table) => {
                f.write_str("{ ")?;
                for (index, entry) in table.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{} = {}", entry.name, entry.value)?;
                }
                f.write_str(" }")
            }
        }
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl From<$int> for Value {
            fn from(number: $int) -> Self {
                Self::new(Kind::Integer(number.into()))
            }
        }
    )*};
}

integers!(u8 i8 u16 i16 u32 i32 u64 i64 i128);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::new(Kind::Bool(value))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::new(Kind::Float(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::new(Kind::Text(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::new(Kind::Text(text))
    }
}

impl<V: Into<Value>, const N: usize> From<[V; N]> for Value {
    fn from(values: [V; N]) -> Self {
        Self::new(Kind::Array(values.into_iter().map(Into::into).collect()))
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::new(Kind::Array(values.into_iter().map(Into::into).collect()))
    }
}

/// Parses a whole file into one table.
pub(crate) fn parse(source: &Arc<Source>) -> Parsed<Value> {
    let table = DeTable::parse(&source.text).map_err(|error| {
        let place = error.span().map(|span| Place::new(source, &span));
        FileError::new(place, error.message().trim_end())
    })?;
    let span = table.span();
    table_of(source, span, table.into_inner())
}

fn table_of(source: &Arc<Source>, span: Range<usize>, table: DeTable<'_>) -> Parsed<Value> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        let place = Some(Place::new(source, &name.span()));
        let value = value_of(source, value)?;
        entries.push(Entry {
            name: name.into_inner().into_owned(),
            place,
            value,
        });
    }
    // The parser sorts names; a reader expects them as they are written.
    entries.sort_by_key(|entry| entry.place.as_ref().map(Place::start));
    Ok(Value {
        place: Some(Place::new(source, &span)),
        kind: Kind::Table(entries),
    })
}

fn value_of(source: &Arc<Source>, value: Spanned<DeValue<'_>>) -> Parsed<Value> {
    let span = value.span();
    let place = Some(Place::new(source, &span));
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            Kind::Integer(parsed.map_err(|_| {
                let what = format!("{} is too large a number", number.as_str());
                FileError::new(place.clone(), what)
            })?)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse();
            Kind::Float(parsed.map_err(|_| FileError::new(place.clone(), "this is no number"))?)
        }
        DeValue::Boolean(value) => Kind::Bool(value),
        DeValue::Datetime(_) => {
            let error = FileError::new(place, "tests have no dates");
            return Err(error.help("give times in nanoseconds, or as \"1.5s\""));
        }
        DeValue::Array(values) => {
            let values = values.into_iter().map(|value| value_of(source, value));
            Kind::Array(values.collect::<Parsed<_>>()?)
        }
        DeValue::Table(table) => return table_of(source, span, table),
    };
    Ok(Value { place, kind })
}
