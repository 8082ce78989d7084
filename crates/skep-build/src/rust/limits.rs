//! What LLVM says of code that BPF can't hold, in rustc's form, with the reason and what to write
//! instead. All else that rustc prints stays as it is.

use super::message::{Level, Message, is_own, without_colors};

/// rustc's messages with LLVM's explained.
pub(super) fn explained(stderr: &str, colored: bool) -> String {
    let mut out = String::with_capacity(stderr.len());
    let mut lines = stderr.lines().peekable();
    while let Some(line) = lines.next() {
        let plain = without_colors(line);
        if let Some(said) = Said::of_diagnostic(&plain) {
            // LLVM's text ends in lines of nothing.
            while lines
                .next_if(|line| without_colors(line).trim().is_empty())
                .is_some()
            {}
            out += &said.shown(colored);
            out.push('\n');
        } else if let Some(node) = plain.strip_prefix("rustc-LLVM ERROR: Cannot select: ") {
            let mut function = None;
            for line in lines.by_ref() {
                if let Some(name) = line.strip_prefix("In function: ") {
                    function = Some(name);
                    break;
                }
            }
            out += &Said::of_selection(node, function.unwrap_or_default()).shown(colored);
        } else {
            out += line;
            out.push('\n');
        }
    }
    out
}

/// What LLVM said, and where.
struct Said<'a> {
    /// `FILE:LINE:COLUMN`; empty if it is not known.
    place: &'a str,
    function: &'a str,
    message: &'a str,
    /// Whether it is the name of an operation that no instruction does.
    operation: bool,
}

impl<'a> Said<'a> {
    /// `error: PLACE: in function NAME TYPE: MESSAGE`.
    fn of_diagnostic(line: &'a str) -> Option<Self> {
        let (place, rest) = line.strip_prefix("error: ")?.split_once(": in function ")?;
        let (function, rest) = rest.split_once(' ')?;
        let (_, message) = rest.split_once("): ")?;
        Some(Self {
            place: if place.starts_with('<') { "" } else { place },
            function,
            message,
            operation: false,
        })
    }

    /// `0x…: ch = OPERATION<…> …, PLACE @[ PLACE @[ PLACE ] ]`: each was inlined where the next one
    /// is. The first that the program's author wrote is the one to look at.
    fn of_selection(node: &'a str, function: &'a str) -> Self {
        let operation = node.split_once(" = ").map_or(node, |(_, rest)| rest);
        let end = operation.find(|c: char| !c.is_ascii_alphanumeric());
        let places = || {
            node.split(" @[ ")
                .map(|place| place.trim_end_matches([' ', ']']))
        };
        let places = || places().map(|place| place.rsplit(", ").next().unwrap_or_default());
        let own = places().find(|place| is_own(place));
        Self {
            place: own.or(places().last()).unwrap_or_default(),
            function,
            message: operation
                .get(..end.unwrap_or(operation.len()))
                .unwrap_or(""),
            operation: true,
        }
    }

    fn shown(&self, colored: bool) -> String {
        let (title, help) = self.meaning();
        Message {
            level: Level::Error,
            title,
            place: Some(self.place.to_owned()).filter(|place| !place.is_empty()),
            function: format!("{:#}", rustc_demangle::demangle(self.function)),
            note: "",
            help,
        }
        .shown(colored)
    }

    /// What it means, and what to write instead.
    fn meaning(&self) -> (String, &'static str) {
        if self.operation {
            return operation(self.message);
        }
        let called = self
            .message
            .strip_prefix("A call to built-in function '")
            .and_then(|rest| rest.split_once('\''));
        if let Some((name, _)) = called {
            return builtin(name);
        }
        let known = MESSAGES
            .iter()
            .find(|(part, ..)| self.message.contains(part));
        match known {
            Some((_, title, help)) => ((*title).to_owned(), help),
            None => (
                format!("LLVM can't compile this for BPF: {}", self.message),
                "",
            ),
        }
    }
}

/// What a part of LLVM's message means.
const MESSAGES: &[(&str, &str, &str)] = &[
    (
        "BPF stack limit",
        "this needs more than the 512 bytes of stack that a BPF program has",
        "keep large values in a map of one element (`PerCpuArray`) or in a ring buffer's entry, and \
         work on them there",
    ),
    (
        "unsupported signed division",
        "BPF has signed division only from instruction set v4 on",
        "divide unsigned numbers (`as u64`, with the sign looked at before), or compile with --cpu \
         v4, which needs Linux 6.6",
    ),
    (
        "too many arguments",
        "a BPF function takes at most five arguments",
        "pass a reference to a struct, or let the function be inlined: #[inline(always)]",
    ),
    (
        "stack arguments",
        "a BPF function takes at most five arguments",
        "pass a reference to a struct, or let the function be inlined: #[inline(always)]",
    ),
    (
        "pass by value not supported",
        "a BPF function takes its arguments in five registers of 64 bits, and this one needs more",
        "pass a reference, or let the function be inlined: #[inline(always)]",
    ),
    (
        "only integer returns",
        "a BPF function returns a number of at most 64 bits",
        "write to a `&mut` argument, or let the function be inlined: #[inline(always)]",
    ),
    (
        "XADD return value",
        "instruction sets v1 and v2 have no atomic operation that gives the old value",
        "don't use what it returns, or compile with --cpu v3",
    ),
    (
        "unsupported atomic operation",
        "this atomic operation is not among the instructions of this set",
        "use AtomicU64 or AtomicU32, or compile with --cpu v3",
    ),
];

/// What the call of a function means that compilers expect every machine to have.
fn builtin(name: &str) -> (String, &'static str) {
    let is = |names: &[&str]| names.contains(&name);
    if is(&["memcpy", "memmove", "memset", "memcmp", "bcmp"]) {
        let what = match name {
            "memset" => "fills",
            "memcmp" | "bcmp" => "compares",
            _ => "copies",
        };
        return (
            format!("this {what} more memory than is worth instructions of its own (`{name}`)"),
            "do it in parts of at most 512 bytes whose length is known when compiling, in a loop, or \
             by a helper that takes a length",
        );
    }
    if name.ends_with("ti3") || name.ends_with("ti4") || name.ends_with("ti2") {
        return (
            format!("BPF can't multiply, divide or shift numbers of 128 bits (`{name}`)"),
            "use u64: multiply the halves by themselves, divide by a power of two with a shift, or \
             leave it to user space",
        );
    }
    // __adddf3, __ltsf2, __floatundisf, __fixdfdi, __extendsfdf2.
    if ["sf", "df", "tf", "hf"]
        .iter()
        .any(|kind| name.contains(kind))
    {
        return (
            format!("BPF has no floating-point numbers (`{name}`)"),
            "count in a smaller unit as an integer (nanoseconds, thousandths), and let user space \
             divide",
        );
    }
    (
        format!("BPF programs can't call `{name}`, which compilers expect every machine to have"),
        "",
    )
}

/// What an operation means that LLVM found no instruction for.
fn operation(name: &str) -> (String, &'static str) {
    match name {
        "AtomicLoad" => (
            "instruction sets before v4 have no atomic load".into(),
            "read it with `read_volatile(x.as_ptr())`, which is one load of 32 or 64 bits, or \
             compile with --cpu v4",
        ),
        "AtomicStore" => (
            "BPF has no such atomic store".into(),
            "write it with `write_volatile(x.as_ptr(), value)`, which is one store of 32 or 64 bits; \
             with --cpu v4 there are Ordering::Relaxed and Ordering::Release",
        ),
        "AtomicFence" => (
            "BPF has no fences".into(),
            "atomic operations that give the old value are full fences: let one of them do it",
        ),
        _ if name.starts_with("AtomicLoad") => (
            format!("BPF has no such atomic operation (`{name}`)"),
            "there are fetch_add, fetch_sub, fetch_and, fetch_or, fetch_xor, swap and \
             compare_exchange; make others with compare_exchange",
        ),
        "SDIV" | "SREM" | "sdiv" | "srem" => (
            "BPF has signed division only from instruction set v4 on".into(),
            "divide unsigned numbers, or compile with --cpu v4, which needs Linux 6.6",
        ),
        _ => (
            format!("BPF has no instruction for this (LLVM calls it `{name}`)"),
            "",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_are_explained() {
        let stderr = "error: k.rs:3:90: in function _RNvCs1_1x4half i32 (ptr): A call to built-in \
                      function '__udivti3' is not supported.\n       \n\nerror: aborting due to 1 \
                      previous error\n\n";
        let expected = "\
error: BPF can't multiply, divide or shift numbers of 128 bits (`__udivti3`)
 --> k.rs:3:90
  |
  = note: in function `x::half`
  = help: use u64: multiply the halves by themselves, divide by a power of two with a shift, or \
                        leave it to user space

error: aborting due to 1 previous error

";
        assert_eq!(explained(stderr, false), expected);
        let colored = stderr.replacen("error", "\x1b[1m\x1b[91merror\x1b[0m", 1);
        assert_eq!(explained(&colored, false), expected);
        assert!(explained(stderr, true).starts_with("\x1b[1;91merror\x1b[0m"));
    }

    #[test]
    fn selections_that_fail_are_explained_where_they_were_inlined() {
        let stderr = "warning: x\n\nrustc-LLVM ERROR: Cannot select: 0x7f: i32,ch = \
                      AtomicLoad<(load monotonic (s32) from %ir.0)> 0x7f:1, 0x70, \
                      /library/core/src/sync/atomic.rs:3890:24 @[ /library/core/src/a.rs:2:2 @[ k.rs:3:165 \
                      ] ]\n  0x70: i64,ch = CopyFromReg 0x7f\nIn function: hello\n";
        let said = explained(stderr, false);
        let expected = "warning: x\n\nerror: instruction sets before v4 have no atomic load\n \
                        --> k.rs:3:165\n  |\n  = note: in function `hello`\n";
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn all_else_stays() {
        for text in [
            "",
            "error[E0308]: mismatched types\n --> a.rs:1:1\n",
            "error: in function\n",
        ] {
            assert_eq!(explained(text, true), text);
        }
        let plain =
            ["__adddf3", "__fixdfdi", "memcpy", "__multi3", "foo"].map(|name| builtin(name).0);
        assert!(plain[0].contains("floating") && plain[1].contains("floating"));
        assert!(plain[2].contains("copies") && plain[3].contains("128"));
        assert!(plain[4].contains("`foo`"));
        // Whatever LLVM says, nothing here fails.
        let _ = explained("rustc-LLVM ERROR: Cannot select: \n", false);
    }
}
