//! Writes the types around an image: what it starts with, and what it is once it is loaded.

use std::fmt::Write as _;

use skep_btf::{Btf, Kind, TypeId};
use skep_object::Contents;

use super::{
    Light, data,
    spell::{self, Names},
};

/// The first part of the module. Writing to a string does not fail.
pub(super) fn write(light: &Light<'_>, name: &str, out: &mut String) {
    let made_for = &light.made_for;
    let _ = write!(
        out,
        "//! The programs of `{}`, made by `skep gen light` (Skep {}) for Linux {}{}.\n\
         //! Not to be changed by hand.\n\
         #![allow(dead_code, unused_imports, clippy::all, clippy::pedantic, missing_docs)]\n\n\
         use skep_light::{{\n    Attached, Contents, Image, Inner, Kernel, KernelValue, Loaded, MadeFor, Map, MapImage,\n    \
         MapReference, ModuleReference, Open, Pin, Place, Program, ProgramImage, Records, Result, Slot,\n    \
         SlotValue, TargetFunction, Types,\n    abi::{{AttachType, KernelVersion, MapType, ProgramType}},\n}};\n",
        spell::name(&light.image.name),
        env!("CARGO_PKG_VERSION"),
        made_for.release,
        if made_for.types.is_some() || made_for.same_release {
            " and no other kernel"
        } else {
            " and newer"
        },
    );
    for downgrade in &light.image.downgrades {
        let _ = writeln!(out, "// Without {downgrade}");
    }
    write_open(light, name, out);
    write_loaded(light, name, out);
}

/// A map that the object's programs know by a name, and not one of global variables.
fn named_maps<'l>(light: &'l Light<'_>) -> Vec<(usize, String, &'l str)> {
    let mut names = Names::default();
    light
        .maps()
        .enumerate()
        .filter(|(_, (_, map))| !map.is_global_data() && !map.name.starts_with('.'))
        .filter(|(_, (_, map))| !matches!(map.contents, Contents::PerCpu(_)))
        .map(|(place, (_, map))| (place, names.take(&map.name), map.name.as_str()))
        .collect()
}

fn programs<'l>(light: &'l Light<'_>) -> Vec<(usize, String, &'l str)> {
    let mut names = Names::default();
    let all = light.image.programs.iter().enumerate();
    all.map(|(place, program)| (place, names.take(&program.name), program.name.as_str()))
        .collect()
}

/// A global variable that has a place in a map.
struct Global {
    name: String,
    /// As the source spells it.
    spelled: String,
    map: usize,
    offset: u32,
    size: u32,
    shape: Shape,
    /// Each CPU has its own, which are not read here.
    per_cpu: bool,
}

fn globals(light: &Light<'_>) -> Vec<Global> {
    let spec = light.object.spec();
    let mut names = Names::default();
    let place = |variable: &skep_object::Variable| {
        let index = variable.map.as_usize();
        let contents = &light.image.maps.get(index)?.contents;
        let per_cpu = matches!(contents, Contents::PerCpu(_));
        let holds = match contents {
            Contents::Data(_) | Contents::Zeroes | Contents::Arena(_) => true,
            _ => per_cpu,
        };
        Some((light.place_of(index).filter(|_| holds)?, per_cpu))
    };
    let variables = spec.variables().iter();
    let found = variables.filter_map(|variable| Some((variable, place(variable)?)));
    found
        .map(|(variable, (map, per_cpu))| Global {
            name: names.take(&variable.name),
            spelled: variable.name.clone(),
            map,
            offset: variable.offset,
            size: variable.size,
            shape: Shape::of(
                spec.btf().map(|btf| &**btf),
                variable.type_id,
                variable.size,
            ),
            per_cpu,
        })
        .collect()
}

/// How a value is spelled in Rust.
enum Shape {
    Number(&'static str),
    Bool,
    Numbers(&'static str, u32),
    Bytes,
}

impl Shape {
    fn of(btf: Option<&Btf>, type_id: Option<TypeId>, size: u32) -> Self {
        let Some((btf, type_id)) = btf.zip(type_id) else {
            return Self::Bytes;
        };
        let resolved = match btf.skip_modifiers(type_id).map(|found| found.kind()) {
            Ok(Kind::Array(array)) => match Self::of(Some(btf), Some(array.element), 0) {
                // Text, mostly.
                Self::Number("i8" | "u8") => Self::Bytes,
                Self::Number(number) => Self::Numbers(number, array.len),
                _ => Self::Bytes,
            },
            Ok(Kind::Int(int)) if int.encoding.is_bool() && int.size == 1 => Self::Bool,
            Ok(Kind::Int(int)) => number(int.size, int.encoding.is_signed()),
            Ok(Kind::Enum(values) | Kind::Enum64(values)) => number(values.size, values.signed),
            Ok(Kind::Float { size: 4 }) => Self::Number("f32"),
            Ok(Kind::Float { size: 8 }) => Self::Number("f64"),
            Ok(Kind::Pointer { .. }) => Self::Number("u64"),
            _ => Self::Bytes,
        };
        // What the object says of the variable counts.
        match btf.size_of(type_id) {
            Ok(whole) if size != 0 && whole != u64::from(size) => Self::Bytes,
            _ => resolved,
        }
    }
}

fn number(size: u32, signed: bool) -> Shape {
    Shape::Number(match (size, signed) {
        (1, false) => "u8",
        (1, true) => "i8",
        (2, false) => "u16",
        (2, true) => "i16",
        (4, false) => "u32",
        (4, true) => "i32",
        (8, false) => "u64",
        (8, true) => "i64",
        (16, false) => "u128",
        (16, true) => "i128",
        _ => return Shape::Bytes,
    })
}

fn write_open(light: &Light<'_>, name: &str, out: &mut String) {
    let _ = write!(
        out,
        "\n/// The programs, not loaded yet.\n#[derive(Debug)]\npub struct {name} {{\n    pub open: Open,\n}}\n\n\
         impl Default for {name} {{\n    fn default() -> Self {{\n        Self::new()\n    }}\n}}\n\n\
         impl {name} {{\n    pub fn new() -> Self {{\n        Self {{ open: Open::new(&IMAGE) }}\n    }}\n\n    \
         /// Loads them. Nothing stays behind when it fails.\n    \
         pub fn load(&self, kernel: &Kernel) -> Result<{name}Loaded> {{\n        \
         {name}Loaded::new(self.open.load(kernel)?)\n    }}\n",
    );
    for global in globals(light) {
        let Global {
            name,
            spelled,
            map,
            offset,
            size,
            ..
        } = &global;
        let (kind, body) = match &global.shape {
            Shape::Number(number) => (
                (*number).to_owned(),
                format!("self.open.put({map}, {offset}, &value.to_ne_bytes());"),
            ),
            Shape::Bool => (
                "bool".into(),
                format!("self.open.put({map}, {offset}, &[u8::from(value)]);"),
            ),
            Shape::Numbers(number, count) => (
                format!("[{number}; {count}]"),
                format!(
                    "for (index, one) in value.iter().enumerate() {{\n            \
                     self.open.put({map}, {offset} + index * size_of::<{number}>(), &one.to_ne_bytes());\n        }}"
                ),
            ),
            Shape::Bytes => (
                format!("[u8; {size}]"),
                format!("self.open.put({map}, {offset}, &value);"),
            ),
        };
        let _ = write!(
            out,
            "\n    /// What `{spelled}` starts with.\n    \
             pub fn set_{name}(&mut self, value: {kind}) -> &mut Self {{\n        {body}\n        self\n    }}\n"
        );
    }
    for (place, name, spelled) in named_maps(light) {
        let _ = write!(
            out,
            "\n    /// How many entries `{spelled}` has; of rings, bytes.\n    \
             pub fn resize_{name}(&mut self, entries: u32) -> &mut Self {{\n        \
             self.open.set_max_entries({place}, entries);\n        self\n    }}\n"
        );
    }
    for (place, name, spelled) in programs(light) {
        let _ = write!(
            out,
            "\n    /// Leaves `{spelled}` out.\n    pub fn leave_out_{name}(&mut self) -> &mut Self {{\n        \
             self.open.leave_out({place});\n        self\n    }}\n"
        );
    }
    for (place, name, spelled) in programs(light) {
        let image = light.image.programs.get(place);
        if !image.is_some_and(data::on_program) {
            continue;
        }
        let _ = write!(
            out,
            "\n    /// Which function of another program `{spelled}` is on.\n    \
             pub fn target_{name}(&mut self, target: TargetFunction) -> &mut Self {{\n        \
             self.open.set_target({place}, target);\n        self\n    }}\n"
        );
    }
    out.push_str("}\n");
}

fn write_loaded(light: &Light<'_>, name: &str, out: &mut String) {
    let (maps, programs, globals) = (named_maps(light), programs(light), globals(light));
    let _ = write!(
        out,
        "\n/// The programs, loaded.\n#[derive(Debug)]\npub struct {name}Loaded {{\n    pub maps: {name}Maps,\n    \
         pub programs: {name}Programs,\n    pub loaded: Loaded,\n}}\n\n\
         /// The maps.\n#[derive(Debug)]\npub struct {name}Maps {{\n"
    );
    for (_, field, _) in &maps {
        let _ = writeln!(out, "    pub {field}: Map,");
    }
    let _ = write!(
        out,
        "}}\n\n/// The programs; `None` for those that were left out.\n#[derive(Debug)]\npub struct {name}Programs {{\n"
    );
    for (_, field, _) in &programs {
        let _ = writeln!(out, "    pub {field}: Option<Program>,");
    }
    let _ = write!(
        out,
        "}}\n\nimpl {name}Loaded {{\n    fn new(loaded: Loaded) -> Result<Self> {{\n        Ok(Self {{\n            \
         maps: {name}Maps {{\n"
    );
    for (place, field, _) in &maps {
        let _ = writeln!(out, "                {field}: loaded.map({place})?,");
    }
    let _ = write!(
        out,
        "            }},\n            programs: {name}Programs {{\n"
    );
    for (place, field, _) in &programs {
        let _ = writeln!(out, "                {field}: loaded.program({place})?,");
    }
    out.push_str(
        "            },\n            loaded,\n        })\n    }\n\n    \
         /// Attaches all programs whose sections say where, until what is given is dropped.\n    \
         pub fn attach(&self) -> Result<Vec<Attached>> {\n        self.loaded.attach()\n    }\n",
    );
    for global in globals.iter().filter(|global| !global.per_cpu) {
        let Global {
            name,
            spelled,
            map,
            offset,
            size,
            ..
        } = global;
        let (kind, value) = match global.shape {
            Shape::Number(number) => (number.to_owned(), format!("{number}::from_ne_bytes(bytes)")),
            Shape::Bool => ("bool".into(), "bytes[0] != 0".into()),
            Shape::Numbers(..) | Shape::Bytes => (format!("[u8; {size}]"), "bytes".into()),
        };
        let _ = write!(
            out,
            "\n    /// `{spelled}`, as it is now.\n    pub fn global_{name}(&self) -> Result<{kind}> {{\n        \
             let bytes: [u8; {size}] = self.loaded.bytes({map}, {offset})?;\n        Ok({value})\n    }}\n"
        );
    }
    out.push_str("}\n");
}
