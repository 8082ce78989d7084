//! Helpers: their numbers from the function mapper macro, and their C prototypes from the
//! header's comment. Only the prototype lines are read, never the prose around them.

use std::collections::BTreeMap;

use super::c::{Token, tokenize};
use crate::Result;

/// A helper as the header declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prototype {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) returns: String,
    pub(super) parameters: Vec<Parameter>,
}

/// A parameter; a variadic one is `...` without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) c_type: String,
    pub(super) name: String,
}

/// Every helper of the header, by number, without number 0.
pub(super) fn prototypes(text: &str) -> Result<Vec<Prototype>> {
    let numbers = numbers(text)?;
    let mut found: BTreeMap<u32, Prototype> = BTreeMap::new();
    for line in text.lines() {
        let Some((returns, name, parameters)) = split(line) else {
            continue;
        };
        let Some(&id) = numbers.get(name) else {
            continue;
        };
        let prototype = Prototype {
            id,
            name: name.to_owned(),
            returns: c_type(&tokenize(returns)?)?,
            parameters: parse_parameters(parameters).map_err(|e| format!("`{name}`: {e}"))?,
        };
        // A few helpers take a different context by program type: their prototypes differ in
        // the first parameter only, and programs see an untyped pointer.
        found
            .entry(id)
            .and_modify(|first| {
                "ctx".clone_into(&mut first.parameters[0].name);
                "void *".clone_into(&mut first.parameters[0].c_type);
            })
            .or_insert(prototype);
    }
    for (name, id) in &numbers {
        if !found.contains_key(id) {
            return Err(format!("helper {id}, `{name}`, has no prototype in the header").into());
        }
    }
    Ok(found.into_values().collect())
}

/// `FN(name, number, ...)` entries of the mapper.
fn numbers(text: &str) -> Result<BTreeMap<String, u32>> {
    let start = text
        .find("___BPF_FUNC_MAPPER(FN")
        .ok_or("the header has no helper mapper")?;
    let end = text[start..]
        .find("\n\n")
        .map_or(text.len(), |length| start + length);
    let mut numbers = BTreeMap::new();
    for entry in text[start..end].split("FN(").skip(1) {
        let mut parts = entry.split([',', ')']).map(str::trim);
        if let (Some(name), Some(Ok(id))) = (parts.next(), parts.next().map(str::parse))
            && id != 0
        {
            numbers.insert(format!("bpf_{name}"), id);
        }
    }
    match numbers.len() {
        0 => Err("the helper mapper is empty".into()),
        _ => Ok(numbers),
    }
}

/// Splits ` * type name(parameters)` of the comment.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let line = line.strip_prefix(" * ")?;
    let (before, parameters) = line.strip_suffix(')')?.split_once('(')?;
    let at = before.rfind(|c: char| !c.is_alphanumeric() && c != '_')? + 1;
    let (returns, name) = before.split_at(at);
    (name.starts_with("bpf_") && !line.starts_with(char::is_whitespace))
        .then_some((returns, name, parameters))
}

fn parse_parameters(text: &str) -> Result<Vec<Parameter>> {
    if text == "void" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|parameter| {
            let tokens = tokenize(parameter)?;
            match tokens.split_last() {
                Some((Token::Sign("..."), [])) => Ok(Parameter {
                    c_type: "...".to_owned(),
                    name: String::new(),
                }),
                Some((Token::Word(name), kind)) if !kind.is_empty() => Ok(Parameter {
                    c_type: c_type(kind)?,
                    name: name.clone(),
                }),
                _ => Err(format!("`{parameter}` is not a parameter").into()),
            }
        })
        .collect()
}

/// A type in the words of programs: the kernel's own names of integers, maps and contexts are
/// replaced by those of the uapi.
fn c_type(tokens: &[Token]) -> Result<String> {
    let mut words: Vec<&str> = Vec::new();
    let mut stars = String::new();
    for token in tokens {
        match token {
            Token::Word(word) => words.push(word),
            Token::Sign("*") => stars.push('*'),
            other => return Err(format!("{other:?} in a type").into()),
        }
    }
    let constant = words.first() == Some(&"const");
    let base = words.split_off(usize::from(constant)).join(" ");
    let base = match base.as_str() {
        "u8" | "u16" | "u32" | "u64" | "s8" | "s16" | "s32" | "s64" => format!("__{base}"),
        "size_t" => "unsigned long".to_owned(),
        "struct bpf_map" => "void".to_owned(),
        "struct sk_buff" => "struct __sk_buff".to_owned(),
        "struct sk_msg_buff" => "struct sk_msg_md".to_owned(),
        "struct xdp_buff" => "struct xdp_md".to_owned(),
        _ => base,
    };
    let space = if stars.is_empty() { "" } else { " " };
    Ok(format!(
        "{}{base}{space}{stars}",
        if constant { "const " } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "/*
 * void *bpf_a(struct bpf_map *map, const u64 *key, ...)
 * \tDescription with bpf_b(u32 x)
 * u64 bpf_b(struct sk_buff *skb)
 * u64 bpf_b(struct bpf_sock_ops *ops)
 */
#define ___BPF_FUNC_MAPPER(FN, ctx...) \\
\tFN(unspec, 0, ##ctx) \\
\tFN(a, 1, ##ctx) \\
\tFN(b, 2, ##ctx)

";

    #[test]
    fn prototypes_come_with_numbers_and_program_types() {
        let all = prototypes(HEADER).expect("the header is whole");
        assert_eq!(all[0].returns, "void *");
        let types: Vec<_> = all[0]
            .parameters
            .iter()
            .map(|p| p.c_type.as_str())
            .collect();
        assert_eq!(types, ["void *", "const __u64 *", "..."]);
        let only = Parameter {
            c_type: "void *".to_owned(),
            name: "ctx".to_owned(),
        };
        assert_eq!((all[1].id, &all[1].parameters), (2, &vec![only]));
    }

    #[test]
    fn a_helper_without_prototype_is_an_error() {
        let error = prototypes(&HEADER.replace("bpf_a(", "bpf_c(")).expect_err("`a` is missing");
        assert!(error.to_string().contains("helper 1, `bpf_a`"), "{error}");
    }
}
