//! A reader of C headers, just enough for the kernel's uapi: tokens, object-like macros,
//! enumerations and constant expressions. Structures are in `layout`.

use std::collections::HashMap;

use crate::Result;

/// A C token. Strings and characters do not occur in what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Number(i128),
    Sign(&'static str),
}

impl Token {
    pub(super) fn is(&self, sign: &str) -> bool {
        matches!(self, Token::Sign(s) if *s == sign)
    }

    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }
}

const SIGNS: [&str; 26] = [
    "...", "<<", ">>", "##", "{", "}", "(", ")", "[", "]", ";", ",", "=", "|", "&", "~", "+", "-",
    "*", "/", "<", ">", ":", "?", ".", "!",
];

/// One enumeration with its values, in order.
#[derive(Debug, Clone)]
pub(super) struct Enumeration {
    pub(super) name: Option<String>,
    pub(super) values: Vec<(String, i128)>,
}

/// What a header says, without its comments and conditions.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tokens: Vec<Token>,
    pub(super) enumerations: Vec<Enumeration>,
    macros: HashMap<String, Vec<Token>>,
    values: HashMap<String, i128>,
}

impl Header {
    /// Reads a header's text and adds it to what was read before.
    pub(super) fn read(&mut self, text: &str) -> Result<()> {
        let mut code = String::new();
        let joined = strip_comments(text)?.replace("\\\n", " ");
        for line in joined.lines() {
            match line.trim_start().strip_prefix('#') {
                Some(directive) => self.directive(directive.trim_start())?,
                None => {
                    code.push_str(line);
                    code.push('\n');
                }
            }
        }
        let tokens = tokenize(&code)?;
        self.enumerations(&tokens)?;
        self.tokens.extend(tokens);
        Ok(())
    }

    /// The value of an enumerator or an object-like macro.
    pub(super) fn value(&self, name: &str) -> Result<i128> {
        self.lookup(name, 0)
    }

    /// Every name that has a value: enumerators and constant macros.
    pub(super) fn constant_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.values.keys().map(String::as_str).collect();
        names.extend(
            self.macros
                .keys()
                .map(String::as_str)
                .filter(|n| self.value(n).is_ok()),
        );
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Evaluates a constant expression.
    pub(super) fn evaluate(&self, tokens: &[Token]) -> Result<i128> {
        self.evaluate_nested(tokens, 0)
    }

    fn directive(&mut self, directive: &str) -> Result<()> {
        let Some(rest) = directive.strip_prefix("define") else {
            return Ok(());
        };
        let rest = rest.trim();
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let (name, body) = rest.split_at(end);
        // A parenthesis right after the name makes it function-like: not a constant.
        if !body.starts_with('(') && !body.contains('"') {
            self.macros.insert(name.to_owned(), tokenize(body)?);
        }
        Ok(())
    }

    fn enumerations(&mut self, tokens: &[Token]) -> Result<()> {
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at].word() != Some("enum") {
                at += 1;
                continue;
            }
            let name = tokens.get(at + 1).and_then(Token::word).map(str::to_owned);
            let open = at + 1 + usize::from(name.is_some());
            if !tokens.get(open).is_some_and(|t| t.is("{")) {
                at = open; // a use of the type, not its definition
                continue;
            }
            let close = (open..tokens.len())
                .find(|&i| tokens[i].is("}"))
                .ok_or_else(|| format!("enum {name:?} has no end"))?;
            let enumeration = self.enumeration(name, &tokens[open + 1..close])?;
            self.enumerations.push(enumeration);
            at = close;
        }
        Ok(())
    }

    fn enumeration(&mut self, name: Option<String>, body: &[Token]) -> Result<Enumeration> {
        let mut values = Vec::new();
        let mut next = 0;
        for part in body.split(|t| t.is(",")) {
            let Some(word) = part.first().and_then(Token::word) else {
                continue;
            };
            match part.get(1) {
                Some(sign) if sign.is("=") => next = self.evaluate(&part[2..])?,
                // A macro call that makes the enumerators (`bpf_func_id`): see `prototypes`.
                Some(_) => continue,
                None => {}
            }
            self.values.insert(word.to_owned(), next);
            values.push((word.to_owned(), next));
            next += 1;
        }
        Ok(Enumeration { name, values })
    }

    fn lookup(&self, name: &str, depth: usize) -> Result<i128> {
        if let Some(value) = self.values.get(name) {
            return Ok(*value);
        }
        match self.macros.get(name) {
            Some(body) if !body.is_empty() && depth < 16 => self.evaluate_nested(body, depth + 1),
            _ => Err(format!("`{name}` has no constant value in the headers").into()),
        }
    }

    fn evaluate_nested(&self, tokens: &[Token], depth: usize) -> Result<i128> {
        let mut expression = Expression {
            header: self,
            tokens,
            depth,
        };
        let value = expression.binary(0)?;
        match expression.tokens {
            [] => Ok(value),
            rest => Err(format!("not a constant expression: {tokens:?} at {rest:?}").into()),
        }
    }
}

/// A recursive descent over what is left of an expression.
struct Expression<'a> {
    header: &'a Header,
    tokens: &'a [Token],
    depth: usize,
}

/// Binary operators, weakest first.
const PRECEDENCE: [&[&str]; 5] = [&["|"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "/"]];

impl Expression<'_> {
    fn binary(&mut self, level: usize) -> Result<i128> {
        let Some(operators) = PRECEDENCE.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(&Token::Sign(sign)) = self.tokens.first()
            && operators.contains(&sign)
        {
            self.tokens = &self.tokens[1..];
            let right = self.binary(level + 1)?;
            left = match sign {
                "|" => Some(left | right),
                "&" => Some(left & right),
                "<<" => u32::try_from(right)
                    .ok()
                    .and_then(|by| left.checked_shl(by)),
                ">>" => u32::try_from(right)
                    .ok()
                    .and_then(|by| left.checked_shr(by)),
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                _ => left.checked_div(right),
            }
            .ok_or_else(|| format!("{left} {sign} {right} has no value"))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<i128> {
        let Some((first, rest)) = self.tokens.split_first() else {
            return Err("an expression ends too early".into());
        };
        self.tokens = rest;
        match first {
            Token::Number(number) => Ok(*number),
            Token::Word(name) => self.header.lookup(name, self.depth),
            Token::Sign("-") => Ok(-self.unary()?),
            Token::Sign("~") => Ok(!self.unary()?),
            Token::Sign("(") => {
                let value = self.binary(0)?;
                match self.tokens.split_first() {
                    Some((close, rest)) if close.is(")") => self.tokens = rest,
                    _ => return Err("`(` without `)`".into()),
                }
                Ok(value)
            }
            other => Err(format!("{other:?} does not start a value").into()),
        }
    }
}

/// Splits C text without comments and directives into tokens.
pub(super) fn tokenize(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length;
        if first.is_alphanumeric() || first == '_' {
            length = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let word = &rest[..length];
            tokens.push(if first.is_ascii_digit() {
                Token::Number(number(word)?)
            } else {
                Token::Word(word.to_owned())
            });
        } else {
            let sign = SIGNS
                .iter()
                .find(|sign| rest.starts_with(**sign))
                .ok_or_else(|| format!("`{first}` is not C that this reader knows"))?;
            length = sign.len();
            tokens.push(Token::Sign(sign));
        }
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn number(word: &str) -> Result<i128> {
    let digits = word.trim_end_matches(['u', 'U', 'l', 'L']);
    let value = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => i128::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i128::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    value.map_err(|_| format!("`{word}` is not a number").into())
}

fn strip_comments(text: &str) -> Result<String> {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        code.push_str(&rest[..start]);
        code.push(' ');
        let end = rest[start..].find("*/").ok_or("a comment has no end")?;
        rest = &rest[start + end + 2..];
    }
    code.push_str(rest);
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header {
        let mut header = Header::default();
        header.read(text).expect("the text is C");
        header
    }

    #[test]
    fn enumerators_count_on_and_refer_back() {
        let header = header(
            "enum e { A, B = 1 << 4, /* skip me */ C, D = B, E, };\n\
             #define MASK (A | B | \\\n  E)\n#define SELF SELF\n",
        );
        let values = &header.enumerations[0].values;
        let expected = [("A", 0), ("B", 16), ("C", 17), ("D", 16), ("E", 17)];
        assert_eq!(
            values
                .iter()
                .map(|(n, v)| (n.as_str(), *v))
                .collect::<Vec<_>>(),
            expected
        );
        assert_eq!(header.value("MASK").unwrap(), 17);
        assert!(
            header.value("SELF").is_err(),
            "a macro of itself has no value"
        );
    }

    #[test]
    fn expressions_follow_the_precedence_of_c() {
        let header = header("");
        for (text, value) in [
            ("1 | 2 << 3 + 1", 33),
            ("(1ULL << 32) - 1", 0xffff_ffff),
            ("-1L", -1),
            ("0xfffffULL << 32", 0xf_ffff << 32),
            ("~0 & 0x0f", 15),
            ("7 / 2 * 2", 6),
        ] {
            assert_eq!(
                header.evaluate(&tokenize(text).unwrap()).unwrap(),
                value,
                "{text}"
            );
        }
        for bad in ["", "1 +", "(1", "1 2", "1 / 0", "1 << 200"] {
            assert!(header.evaluate(&tokenize(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
